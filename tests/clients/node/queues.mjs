// Queues of BullMQ, with its default prefix (no hash tags), and limits of rate-limiter-flexible, against a server of two
// cores started here: nothing is lost, nothing is done twice.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { runTests, startServer } from "./server.mjs";

const server = await startServer();
const connection = { port: server.port, maxRetriesPerRequest: null };
const JOBS = Number(process.env.JOBS ?? 10_000);

/** Runs `workers` workers on a queue until `done` says so; closes them. */
async function work(queue, workers, process, done, options = {}) {
  const running = Array.from({ length: workers }, () => new Worker(queue, process, { connection, concurrency: 50, ...options }));
  running.forEach((worker) => worker.on("error", (error) => console.error(`${queue}: ${error.message}`)));
  const end = Date.now() + 120_000;
  while (!(await done())) {
    assert.ok(Date.now() < end, `${queue}: not done in time`);
    await new Promise((next) => setTimeout(next, 20));
  }
  await Promise.all(running.map((worker) => worker.close()));
}

const tests = {
  async "ten thousand jobs of several workers"() {
    const queue = new Queue("many", { connection });
    for (let at = 0; at < JOBS; at += 1000) {
      await queue.addBulk(Array.from({ length: 1000 }, (_, i) => ({ name: "job", data: { n: at + i } })));
    }
    const seen = new Map();
    await work("many", 4, async (job) => void seen.set(job.data.n, (seen.get(job.data.n) ?? 0) + 1), () => seen.size === JOBS);
    assert.ok([...seen.values()].every((times) => times === 1), "no job is done twice");
    assert.equal(await queue.getCompletedCount(), JOBS);
    assert.equal(await queue.count(), 0);
    await queue.close();
  },
  async "delays, retries and priorities"() {
    const queue = new Queue("mixed", { connection });
    const began = Date.now();
    const order = [];
    await queue.add("late", {}, { delay: 300 });
    await queue.add("fails", {}, { attempts: 3, backoff: { type: "fixed", delay: 20 } });
    for (const priority of [3, 1, 2]) await queue.add("ranked", { priority }, { priority });
    const attempts = [];
    let lateAfter = 0;
    const process = async (job) => {
      if (job.name === "late") lateAfter = Date.now() - began;
      if (job.name === "ranked") order.push(job.data.priority);
      if (job.name === "fails") {
        attempts.push(job.attemptsMade);
        if (attempts.length < 3) throw new Error("on purpose");
      }
    };
    await work("mixed", 1, process, async () => (await queue.getCompletedCount()) === 5, { concurrency: 1 });
    assert.deepEqual(order, [1, 2, 3]);
    assert.deepEqual(attempts, [0, 1, 2]);
    assert.ok(lateAfter >= 300, `the delayed job ran after ${lateAfter} ms`);
    await queue.close();
  },
  async "parents wait for their children"() {
    const flow = new FlowProducer({ connection });
    const children = Array.from({ length: 5 }, (_, n) => ({ name: "child", queueName: "children", data: { n } }));
    await flow.add({ name: "parent", queueName: "parents", children });
    let sum = null;
    const child = new Worker("children", async (job) => job.data.n, { connection });
    await work(
      "parents",
      1,
      async (job) => {
        sum = Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
      },
      () => sum !== null,
    );
    await child.close();
    assert.equal(sum, 10);
    await flow.close();
  },
  async "events reach their listeners"() {
    const queue = new Queue("told", { connection });
    const events = new QueueEvents("told", { connection });
    await events.waitUntilReady();
    const job = await queue.add("job", {});
    const worker = new Worker("told", async () => "done", { connection });
    assert.equal(await job.waitUntilFinished(events, 10_000), "done");
    await Promise.all([worker.close(), events.close(), queue.close()]);
  },
  async "a limit is a limit"() {
    const client = server.connect();
    const limiter = new RateLimiterRedis({ storeClient: client, points: 20, duration: 60 });
    const tries = await Promise.allSettled(Array.from({ length: 50 }, () => limiter.consume("somebody")));
    assert.equal(tries.filter((outcome) => outcome.status === "fulfilled").length, 20);
    client.disconnect();
  },
};

await runTests(tests, server);
