// What ioredis users do, against a server started here on a free port and stopped by its pid.
import assert from "node:assert/strict";
import { startServer } from "./server.mjs";

const server = await startServer();
const { connect } = server;

const tests = {
  async strings(r) {
    assert.equal(await r.set("k", "v"), "OK");
    assert.equal(await r.get("k"), "v");
    assert.equal(await r.get("none"), null);
    assert.equal(await r.set("k", "w", "NX"), null);
    assert.equal(await r.incrby("n", 5), 5);
    assert.deepEqual(await r.mget("k", "none", "n"), ["v", null, "5"]);
    const bytes = Buffer.from([0, 13, 10, 255, 128]);
    await r.set("bytes", bytes);
    assert.deepEqual(await r.getBuffer("bytes"), bytes);
  },
  async "keys and expiry"(r) {
    await r.set("k", "v", "PX", 60);
    assert.ok((await r.pttl("k")) <= 60);
    await new Promise((done) => setTimeout(done, 100));
    assert.equal(await r.exists("k"), 0);
    await assert.rejects(r.rename("none", "x"), /no such key/);
  },
  async "ten thousand commands at once"(r) {
    const sets = await Promise.all(Array.from({ length: 10_000 }, (_, i) => r.set(`k${i}`, i)));
    assert.ok(sets.every((reply) => reply === "OK"));
    const gets = await Promise.all(Array.from({ length: 10_000 }, (_, i) => r.get(`k${i}`)));
    assert.ok(gets.every((reply, i) => reply === String(i)));
  },
  async pipeline(r) {
    const replies = await r.pipeline().set("a", "text").incr("a").get("a").exec();
    assert.deepEqual(replies[0], [null, "OK"]);
    assert.match(replies[1][0].message, /not an integer/);
    assert.deepEqual(replies[2], [null, "text"]);
  },
  async transaction(r) {
    assert.deepEqual(await r.multi().set("a", 1).incr("a").get("a").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
    const other = connect();
    await r.watch("a");
    await other.set("a", "changed");
    assert.equal(await r.multi().set("a", "mine").exec(), null);
    assert.equal(await r.get("a"), "changed");
    other.disconnect();
  },
  async "automatic pipelining"() {
    const r = connect({ enableAutoPipelining: true });
    await Promise.all(Array.from({ length: 2000 }, (_, i) => r.incr(`c${i % 10}`)));
    assert.deepEqual(await r.mget(Array.from({ length: 10 }, (_, i) => `c${i}`)), Array(10).fill("200"));
    r.disconnect();
  },
  async "scan stream"(r) {
    const want = Array.from({ length: 10_000 }, (_, i) => `scan:${i}`);
    await r.mset(want.flatMap((key) => [key, "v"]));
    const seen = new Set();
    for await (const keys of r.scanStream({ match: "scan:*", count: 200 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, want.length);
  },
  async subscribers(r) {
    const count = 2000;
    const listeners = Array.from({ length: 4 }, () => connect());
    const heard = listeners.map(() => []);
    const done = listeners.map((listener, i) => new Promise((all) => {
      const note = (channel, message) => heard[i].push(`${channel} ${message}`) === 2 * count && all();
      listener.on("message", note);
      listener.on("pmessage", (_, channel, message) => note(channel, message));
    }));
    await Promise.all(listeners.map((l, i) => (i % 2 ? l.psubscribe("news:*") : l.subscribe("news:a", "news:b"))));
    const other = connect();
    const publish = (from, channel) => Promise.all(Array.from({ length: count }, (_, n) => from.publish(channel, n)));
    const counts = await Promise.all([publish(r, "news:a"), publish(other, "news:b")]);
    assert.ok(counts.flat().every((reached) => reached === 4));
    await Promise.all(done);
    for (const stream of heard) assert.deepEqual(stream, heard[0]);
    await assert.rejects(listeners[0].get("k"), /subscriber mode/);
    assert.equal(await listeners[0].unsubscribe(), 0);
    assert.equal(await listeners[0].get("k"), null);
    assert.deepEqual(await r.pubsub("NUMSUB", "news:a"), ["news:a", 1]);
    [other, ...listeners].forEach((client) => client.disconnect());
  },
  async "info and client"(r) {
    assert.match(await r.info("server"), /redis_version:/);
    await r.client("SETNAME", "tester");
    assert.equal(await r.client("GETNAME"), "tester");
  },
};

let failed = 0;
const r = connect();
try {
  for (const [name, run] of Object.entries(tests)) {
    try {
      await r.flushall();
      await run(r);
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
} finally {
  r.disconnect();
  const code = await server.stop();
  if (code !== 0) {
    failed += 1;
    console.log(`FAILED  the server ended with ${code}`);
  }
}
process.exit(failed ? 1 : 0);
