# Jobs of the Sidekiq test: each notes its number; a few fail at first; one kind is unique while it is queued.
require "sidekiq"

url = { url: ENV.fetch("REDIS_URL") }
Sidekiq.configure_server { |config| config.redis = url; config.logger.level = Logger::ERROR }
Sidekiq.configure_client { |config| config.redis = url }

class Note
  include Sidekiq::Job
  def perform(number)
    Sidekiq.redis { |redis| redis.call("HINCRBY", "noted", number.to_s, 1) }
  end
end

class Stubborn
  include Sidekiq::Job
  sidekiq_retry_in { 1 }
  def perform(number)
    tries = Sidekiq.redis { |redis| redis.call("HINCRBY", "tries", number.to_s, 1) }
    raise "on purpose" if tries < 2
    Sidekiq.redis { |redis| redis.call("SADD", "overcome", number.to_s) }
  end
end

# Pushes a job unless one with the same number is under way: what plugins for unique jobs do.
ONCE = <<~LUA
  if redis.call("SET", KEYS[1], ARGV[1], "NX", "EX", ARGV[2]) then
    redis.call("SADD", "queues", "default")
    return redis.call("LPUSH", KEYS[2], ARGV[3])
  end
  return 0
LUA

class Single
  include Sidekiq::Job
  def perform(number)
    Sidekiq.redis { |redis| redis.call("HINCRBY", "single", number.to_s, 1) }
  end
end

if $PROGRAM_NAME == __FILE__
  count = Integer(ARGV[0])
  Note.perform_bulk((1..count).map { |number| [number] })
  5.times { |number| Stubborn.perform_async(number) }
  Note.perform_in(1, 0)
  2.times do
    10.times do |number|
      job = Sidekiq.dump_json("class" => "Single", "args" => [number], "jid" => format("%024x", number),
                              "queue" => "default", "retry" => false, "created_at" => Time.now.to_f)
      Sidekiq.redis { |redis| redis.call("EVAL", ONCE, 2, "unique:#{number}", "queue:default", job, 60, job) }
    end
  end
end
