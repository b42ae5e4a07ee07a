/** A Web Worker around the program of browser.ts. */
// #region program
import { train } from './browser';

addEventListener('message', async ({ data }) => postMessage(await train(data)));
// #endregion
