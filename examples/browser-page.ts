/** A page that has its training done by the Web Worker of browser-worker.ts. */
import type { train } from './browser';

export function trainInWorker(options: object): ReturnType<typeof train> {
  // #region program
  const worker = new Worker('./worker.js', { type: 'module' });
  worker.postMessage(options);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  });
  // #endregion
}
