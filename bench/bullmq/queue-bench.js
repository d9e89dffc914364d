// Drives BullMQ as `queue-bench` drives our queue: one phase a run, one line of JSON as its result.
//
//   node queue-bench.js PORT enqueue SECONDS IN_FLIGHT
//   node queue-bench.js PORT process CONCURRENCY          everything that waits
//   node queue-bench.js PORT latency RATE SECONDS         producer and worker in this process, as in ours
//
// Jobs are kept after their end, as ours are. CPU time is that of this process and of Redis together.

import { setTimeout as delay } from 'node:timers/promises';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';

const [port, phase, ...rest] = process.argv.slice(2);
const numbers = rest.map(Number);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const NAME = 'bench';
const PAYLOAD = { message: 'hello' };
const LIMIT_MS = 120_000;

const queue = new Queue(NAME, { connection });
await queue.waitUntilReady();
const client = new Redis(connection);

async function redisCpuMicros() {
  const text = await client.info('cpu');
  const read = (name) => Number(new RegExp(`^${name}:([0-9.]+)`, 'm').exec(text)[1]);
  return (read('used_cpu_user') + read('used_cpu_sys')) * 1e6;
}

function ownCpuMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function measured(work) {
  const redisBefore = await redisCpuMicros();
  const ownBefore = ownCpuMicros();
  const begin = performance.now();
  const count = await work();
  const seconds = (performance.now() - begin) / 1000;
  const own = ownCpuMicros() - ownBefore;
  const redis = (await redisCpuMicros()) - redisBefore;
  return { count, seconds, cpu_micros: own + redis };
}

async function enqueue(seconds, inFlight) {
  let count = 0;
  const end = performance.now() + seconds * 1000;
  const caller = async () => {
    while (performance.now() < end) {
      await queue.add('echo', PAYLOAD);
      count += 1;
    }
  };
  return measured(async () => {
    await Promise.all(Array.from({ length: inFlight }, caller));
    return count;
  });
}

async function drain(concurrency) {
  const expected = await queue.getWaitingCount();
  let done = 0;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const worker = new Worker(NAME, async (job) => job.data, { connection, concurrency, autorun: false });
  worker.on('error', fail);
  worker.on('failed', (_job, error) => fail(error));
  worker.on('completed', () => {
    done += 1;
    if (done === expected) finish();
  });
  await worker.waitUntilReady();
  const figures = await measured(async () => {
    worker.run().catch(fail);
    await finished;
    return done;
  });
  await worker.close();
  return figures;
}

async function latency(rate, seconds) {
  const waits = [];
  const total = rate * seconds;
  let finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  const worker = new Worker(
    NAME,
    async (job) => {
      waits.push(performance.now() - job.data.at);
      if (waits.length === total) finish();
    },
    { connection, concurrency: 100 },
  );
  worker.on('error', fail);
  await worker.waitUntilReady();
  await delay(500);
  const begin = performance.now();
  const adds = [];
  for (let number = 0; number < total; number += 1) {
    const at = begin + (number * 1000) / rate;
    // Timers are in whole milliseconds: what became due meanwhile is added at once.
    while (performance.now() < at) await delay(1);
    adds.push(queue.add('echo', { ...PAYLOAD, at: performance.now() }));
  }
  await Promise.all(adds);
  await finished;
  await worker.close();
  waits.sort((one, other) => one - other);
  const part = (share) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] * 1000);
  return { count: total, p50_micros: part(0.5), p99_micros: part(0.99), max_micros: part(1) };
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

const watchdog = setTimeout(() => fail(new Error(`${phase}: not done in ${LIMIT_MS} ms`)), LIMIT_MS);
const phases = { enqueue, process: drain, latency };
if (!(phase in phases)) fail(new Error(`no such phase: ${phase}`));
const result = await phases[phase](...numbers);
clearTimeout(watchdog);
console.log(JSON.stringify(result));
await queue.close();
process.exit(0);
