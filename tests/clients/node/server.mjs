// A server on a free port, for a test to run against, and stopped by its pid.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import Redis from "ioredis";

const repo = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const binary = process.env.RINGFORT ?? join(repo, "target/release/ringfort");

function freePort() {
  return new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

/** Starts a server of `cores` cores: its port, `connect` for a client, `stop` for its exit status. */
export async function startServer(cores = 2) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "ringfort-node-"));
  const args = ["--port", String(port), "--save", ""];
  if (basename(binary) === "ringfort") args.push("--cores", String(cores));
  const server = spawn(binary, args, { cwd: folder, stdio: "ignore" });
  const ended = new Promise((done) => server.on("exit", (code, signal) => done(code ?? signal)));
  const connect = (options = {}) => new Redis({ port, retryStrategy: (n) => (n < 100 ? 50 : null), ...options });
  const first = connect();
  first.on("error", () => {});
  await first.ping(); // tries until the server listens
  first.disconnect();
  const stop = async () => {
    server.kill("SIGTERM");
    const status = await ended;
    rmSync(folder, { recursive: true, force: true });
    return status;
  };
  return { port, connect, stop };
}

/** Runs the tests of a file, by name, one after the other, and ends the process: with 1 if one failed, or the server did. */
export async function runTests(tests, server) {
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
  if ((await server.stop()) !== 0) failed += 1;
  console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
