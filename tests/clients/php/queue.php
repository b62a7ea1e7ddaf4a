<?php
// A queue and locks in the style of Laravel, on the php-redis extension; test_php.py drives it.
//   queue.php PORT push N        N jobs at once, and five that are due in 0.3 s
//   queue.php PORT work SECONDS  does jobs until the queues stay empty for that long
//   queue.php PORT contend N     N times: takes the lock, adds one to a counter in two steps, releases it
//   queue.php PORT check         what a lock promises

const PUSH = <<<'LUA'
redis.call('rpush', KEYS[1], ARGV[1])
redis.call('rpush', KEYS[2], 1)
LUA;

const POP = <<<'LUA'
local job = redis.call('lpop', KEYS[1])
if not job then return false end
redis.call('lpop', KEYS[3])
local taken = cjson.decode(job)
taken.attempts = taken.attempts + 1
taken = cjson.encode(taken)
redis.call('zadd', KEYS[2], ARGV[1], taken)
return {job, taken}
LUA;

const RELEASE_JOB = <<<'LUA'
redis.call('zrem', KEYS[2], ARGV[1])
redis.call('zadd', KEYS[1], ARGV[2], ARGV[1])
return true
LUA;

const MIGRATE = <<<'LUA'
local due = redis.call('zrangebyscore', KEYS[1], '-inf', ARGV[1], 'limit', 0, 100)
if next(due) ~= nil then
    redis.call('zremrangebyrank', KEYS[1], 0, #due - 1)
    redis.call('rpush', KEYS[2], unpack(due))
    for _ = 1, #due do redis.call('rpush', KEYS[3], 1) end
end
return due
LUA;

const RELEASE_LOCK = <<<'LUA'
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
LUA;

/** Runs a script by its hash, which the server may not know yet. */
function script(Redis $redis, string $body, array $keys, array $args = [])
{
    $words = [...$keys, ...$args];
    $reply = $redis->evalSha(sha1($body), $words, count($keys));
    if ($redis->getLastError() === null) {
        return $reply;
    }
    if (!str_starts_with($redis->getLastError(), 'NOSCRIPT')) {
        throw new RuntimeException($redis->getLastError());
    }
    $redis->clearLastError();
    return $redis->eval($body, $words, count($keys));
}

class Lock
{
    private string $owner;

    public function __construct(private Redis $redis, private string $name, private float $seconds)
    {
        $this->owner = bin2hex(random_bytes(8));
    }

    public function acquire(): bool
    {
        $options = ['nx', 'px' => (int) ($this->seconds * 1000)];
        return $this->redis->set($this->name, $this->owner, $options) === true;
    }

    public function release(): bool
    {
        return script($this->redis, RELEASE_LOCK, [$this->name], [$this->owner]) === 1;
    }

    /** Tries until `$seconds` are over. */
    public function block(float $seconds): bool
    {
        for ($end = microtime(true) + $seconds; !$this->acquire(); usleep(500)) {
            if (microtime(true) > $end) {
                return false;
            }
        }
        return true;
    }
}

function now_ms(): int
{
    return (int) (microtime(true) * 1000);
}

function push(Redis $redis, int $count): void
{
    for ($n = 0; $n < $count; $n += 1) {
        script($redis, PUSH, ['queues:jobs', 'queues:jobs:notify'], [json_encode(['id' => $n, 'attempts' => 0])]);
    }
    for ($n = 0; $n < 5; $n += 1) {
        $redis->zAdd('queues:jobs:delayed', now_ms() + 300, json_encode(['id' => "late$n", 'attempts' => 0]));
    }
}

/** Does the jobs; each seventh fails the first time, and is tried again later. */
function work(Redis $redis, float $patience): void
{
    for ($idle_since = microtime(true); microtime(true) < $idle_since + $patience;) {
        foreach (['queues:jobs:delayed', 'queues:jobs:reserved'] as $later) {
            script($redis, MIGRATE, [$later, 'queues:jobs', 'queues:jobs:notify'], [now_ms()]);
        }
        $keys = ['queues:jobs', 'queues:jobs:reserved', 'queues:jobs:notify'];
        $popped = script($redis, POP, $keys, [now_ms() + 60_000]);
        if (!$popped) {
            $redis->rawCommand('BLPOP', 'queues:jobs:notify', '0.05');
            continue;
        }
        $idle_since = microtime(true);
        $taken = $popped[1];
        $job = json_decode($taken, true);
        if (is_int($job['id']) && $job['id'] % 7 === 0 && $job['attempts'] === 1) {
            script($redis, RELEASE_JOB, ['queues:jobs:delayed', 'queues:jobs:reserved'], [$taken, now_ms() + 50]);
            continue;
        }
        $redis->multi()->hIncrBy('done', $job['id'], 1)->hSet('attempts', $job['id'], $job['attempts'])
            ->zRem('queues:jobs:reserved', $taken)->exec();
    }
}

function contend(Redis $redis, int $times): void
{
    for ($n = 0; $n < $times; $n += 1) {
        $lock = new Lock($redis, 'lock:counter', 10);
        $lock->block(30) || throw new RuntimeException('the lock was not to be had');
        $redis->set('counter', 1 + (int) $redis->get('counter'));
        $lock->release() || throw new RuntimeException('the lock was lost');
    }
}

function check(Redis $redis): void
{
    $second = new Lock($redis, 'lock:check', 10);
    $must = fn (bool $holds, string $what) => $holds || throw new RuntimeException($what);
    $seconds = 0.125;
    do {  // a busy machine may not get there before the lock is let go
        $redis->del('lock:check');
        $first = new Lock($redis, 'lock:check', $seconds *= 4);
        $began = microtime(true);
        $taken = [$first->acquire(), $first->acquire()];
        $released = $second->release();
        $waits = microtime(true);
        $got = $second->block(0.05);
        $waited = microtime(true) - $waits;
    } while (microtime(true) >= $began + $seconds && $seconds < 30);
    $must($taken === [true, false], 'a lock is taken once');
    $must(!$released, 'only its owner releases a lock');
    $must(!$got && $waited >= 0.05, 'who waits waits as long as that');
    $must($second->block($seconds + 5), 'a lock is let go by itself');
    // The server's clock has milliseconds.
    $must(microtime(true) >= $began + $seconds - 0.002, 'but not too early');
    $must(!$first->release() && $second->release(), 'the late owner releases nothing');
    $must($redis->exists('lock:check') === 0, 'nothing is left');
}

$redis = new Redis();
$redis->connect('127.0.0.1', (int) $argv[1], 5);
match ($argv[2]) {
    'push' => push($redis, (int) $argv[3]),
    'work' => work($redis, (float) $argv[3]),
    'contend' => contend($redis, (int) $argv[3]),
    'check' => check($redis),
};
