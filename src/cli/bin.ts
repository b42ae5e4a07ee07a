#!/usr/bin/env node
/**
 * The executable, dist/cli.js; the only module that does something when it is loaded. The first thread
 * supervises, and the command line runs in a second one, from this file again.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';

if (isMainThread) {
  const { supervise } = await import('./supervise');
  supervise(new URL(import.meta.url));
} else {
  const { main } = await import('./main');
  const { threadIo } = await import('./io');
  const { argv, ...outside } = workerData;
  const post = (message: unknown): void => parentPort?.postMessage(message);
  post({ code: await main(argv, threadIo(outside, post)) });
}
