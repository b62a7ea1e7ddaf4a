// socket.io on several servers, joined by its adapters for Redis: pub/sub, sharded pub/sub and streams, against a server of
// two cores started here. A message to a room reaches its clients on every server, once and in order.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Server } from "socket.io";
import { io } from "socket.io-client";
import { startServer } from "./server.mjs";

const redis = await startServer();

/** A socket.io server on a free port. */
async function startNode(makeAdapter) {
  // Ready ones: ioredis stumbles over a subscription sent while it still asks for INFO.
  const clients = [redis.connect(), redis.connect()];
  await Promise.all(clients.map((client) => once(client, "ready")));
  const http = createServer();
  const node = new Server(http, { adapter: makeAdapter(...clients), transports: ["websocket"], serveClient: false });
  node.on("connection", (socket) => {
    socket.data.name = socket.handshake.query.name;
    socket.on("join", async (room, done) => {
      await socket.join(room);
      done();
    });
    socket.on("question", (answer) => answer(`from ${socket.data.name}`));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const stop = async () => {
    await node.close();
    await Promise.all(clients.map((client) => client.quit())); // behind what the adapter said last
  };
  return { node, port: http.address().port, stop };
}

async function connectUser(node, name, room) {
  const socket = io(`http://127.0.0.1:${node.port}`, { transports: ["websocket"], query: { name }, reconnection: false });
  const heard = [];
  socket.on("news", (...words) => heard.push(words));
  socket.on("question", (answer) => answer(name));
  await once(socket, "connect");
  await socket.emitWithAck("join", room);
  return { socket, name, heard };
}

async function until(what, holds) {
  const end = Date.now() + 10_000;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `${what}: not in time`);
    await new Promise((next) => setTimeout(next, 5));
  }
}

/** Three servers, four users each, of whom the even ones are in the room "blue" and the others in "red". */
async function converse(makeAdapter) {
  const nodes = await Promise.all([0, 1, 2].map(() => startNode(makeAdapter)));
  const users = [];
  for (const [at, node] of nodes.entries()) {
    for (let n = 0; n < 4; n += 1) users.push(await connectUser(node, `${at}-${n}`, n % 2 ? "red" : "blue"));
  }
  const [blue, red] = [0, 1].map((parity) => users.filter((_, at) => at % 2 === parity));
  const [first, second, third] = nodes.map(({ node }) => node);
  const names = async (room) => (await second.in(room).fetchSockets()).map((socket) => socket.data.name).sort();
  // Servers get to know each other by messages, too.
  await until("all servers know each other", async () => (await first.of("/").adapter.serverCount()) === 3);
  await until("all sockets are known", async () => (await third.fetchSockets()).length === 12);
  assert.deepEqual(await names("blue"), blue.map((user) => user.name).sort());

  for (let n = 0; n < 100; n += 1) first.to("blue").emit("news", n, Buffer.from([n]));
  await until("news reach the room", () => blue.every((user) => user.heard.length >= 100));
  second.emit("news", "all");
  await until("news reach all", () => users.every((user) => user.heard.at(-1)?.[0] === "all"));
  for (const user of blue) assert.deepEqual(user.heard.map(([n]) => n), [...Array(100).keys(), "all"], user.name);
  for (const user of red) assert.deepEqual(user.heard, [["all"]], user.name);

  await conferBetween(nodes.map(({ node }) => node), users);
  users.forEach((user) => user.socket.disconnect());
  await until("all have left", async () => (await first.fetchSockets()).length === 0);
  await Promise.all(nodes.map((node) => node.stop()));
}

/** What servers ask each other. */
async function conferBetween([first, second, third], users) {
  second.on("sum", (a, b, answer) => answer(a + b));
  third.on("sum", (a, b, answer) => answer(a * b));
  assert.deepEqual((await first.serverSideEmitWithAck("sum", 3, 4)).sort(), [12, 7]);
  const answers = await third.in("red").timeout(5000).emitWithAck("question");
  assert.deepEqual(answers.sort(), users.filter((_, at) => at % 2).map((user) => user.name).sort());
  second.in("red").socketsJoin("green");
  await until("all join", async () => (await first.in("green").fetchSockets()).length === 6);
  third.in("green").socketsLeave("green");
  await until("all leave", async () => (await first.in("green").fetchSockets()).length === 0);
  const away = users.at(-1);
  first.in("red").except("blue").to(away.socket.id).disconnectSockets();
  await until("they are disconnected", () => users.every((user, at) => user.socket.connected === (at % 2 === 0)));
}

const tests = {
  "pub/sub": () => converse((pub, sub) => createAdapter(pub, sub)),
  "sharded pub/sub": () => converse((pub, sub) => createShardedAdapter(pub, sub)),
  streams: () => converse((client) => createStreamsAdapter(client, { heartbeatInterval: 500 })),
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  const began = Date.now();
  try {
    await test();
    console.log(`ok - ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failed += 1;
    console.error(`not ok - ${name}: ${error.stack}`);
  }
}
if ((await redis.stop()) !== 0) failed += 1;
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
