// The load of perf/compare's row about BullMQ: adds jobs and processes them, and prints how long that took.
//
//     node throughput.mjs PORT JOBS
import { Queue, Worker } from "bullmq";

const [port, jobs] = process.argv.slice(2).map(Number);
const connection = { port, maxRetriesPerRequest: null };
const WORKERS = 2;
const AT_ONCE = 100;

const queue = new Queue("load", { connection });
await queue.obliterate({ force: true });
const began = performance.now();
let done = 0;
const all = new Promise((finished) => {
  const process = async () => {
    done += 1;
    if (done === jobs) finished();
  };
  globalThis.workers = Array.from({ length: WORKERS }, () => new Worker("load", process, { connection, concurrency: 50 }));
});
for (let at = 0; at < jobs; at += AT_ONCE) {
  const options = { removeOnComplete: true };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, jobs - at) }, (_, n) => queue.add("job", { n: at + n }, options)));
}
await all;
const seconds = (performance.now() - began) / 1000;
await Promise.all(globalThis.workers.map((worker) => worker.close()));
await queue.close();
console.log(JSON.stringify({ jobs, seconds }));
