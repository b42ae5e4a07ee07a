/** The executor that does jobs in this process, one engine for all: for programs and for tests. */
import type { Listener, StopSignal } from '../../events';
import type { Engine } from '../../runtime/engine';
import { compress, pretrain } from '../compress';
import { openRun } from '../run-dir';
import type { Executor } from './execute';

export const inThisProcess = (engine: Engine, signal?: StopSignal): Executor => ({
  async run({ kind, config }, { dir, from }, told) {
    let title = '';
    const onEvent: Listener = (event) => {
      if (event.type === 'phase') title = event.title;
      if (event.type === 'phase' || event.type === 'progress')
        told(title, event.done / Math.max(1, event.total));
    };
    const opened = await openRun(dir, config);
    const job = {
      dir: opened,
      engine,
      onEvent,
      ...(from !== null && { from }),
      ...(signal && { signal }),
    };
    try {
      await (kind === 'pretrain' ? pretrain(config, job) : compress(config, job));
    } finally {
      await opened.release();
    }
  },
});
