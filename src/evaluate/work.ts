/** Evaluations as runners see them: which spans are missing, evaluating one here, and telling how far it is. */
import { batchOf } from '../data/batches';
import type { DataSet, Split } from '../data/types';
import { expect } from '../errors';
import type { Listener, StopSignal } from '../events';
import type { AnyModel } from '../nn/model';
import { evaluateInParts, type SampleRecord, type Task } from './block';
import { type Span, taskFor, type Work } from './runner';
import { inSlices } from './slices';
import type { Store } from './store';

/** Numbers of images, the first ones, that are attacked and verified; all are classified. */
export interface Limits {
  readonly count: number;
  readonly attack: number;
  readonly verify: number;
}

/** Spans of at most `size` images, of `cleanSize` where they are only classified; limits begin a new one. */
export function spansOf(
  { count, attack, verify }: Limits,
  size: number,
  cleanSize: number,
): readonly Span[] {
  const spans: Span[] = [];
  for (let from = 0; from < count; ) {
    const [attacked, verified] = [from < attack, from < verify];
    const step = attacked || verified ? size : cleanSize;
    const limits = [attack, verify].filter((limit) => limit > from);
    const to = Math.min(count, (Math.floor(from / step) + 1) * step, ...limits);
    spans.push({ number: spans.length, from, to, attack: attacked, verify: verified });
    from = to;
  }
  return spans;
}

export interface WorkJob {
  /** In canonical form. */
  readonly model: AnyModel;
  readonly set: DataSet;
  readonly split: Split;
  readonly task: Task;
  readonly spans: readonly Span[];
  readonly store: Store;
  readonly onEvent?: Listener | undefined;
  readonly signal?: StopSignal | undefined;
}

/** The work of a job. */
export function workOf({ model, set, split, task, spans, store, onEvent, signal }: WorkJob): Work {
  const started = performance.now();
  const total = spans.at(-1)?.to ?? 0;
  let [done, fresh, right] = [0, 0, 0];
  const work: Work = {
    task,
    async missing() {
      const known = await store.read();
      const missing = spans.flatMap((span) => leftOf(span, known) ?? []);
      done = total - missing.reduce((sum, { from, to }) => sum + to - from, 0);
      return missing;
    },
    async evaluate(span) {
      const block = { ...taskFor(task, span), ...batchOf(set, split, span.from, span.to) };
      const parts = evaluateInParts(model, block);
      await work.keep(span, await inSlices(parts, { signal, saved: store.saved }));
    },
    async keep(span, records) {
      const { from, to } = span;
      const fits =
        records.length === to - from && records.every(({ index }, i) => index === from + i);
      expect(fits, `records of images ${from} to ${to - 1}`, 'one of each, in order', 'others');
      await store.put(records);
      done += records.length;
      fresh += records.length;
      right += records.filter(({ label, predicted }) => label === predicted).length;
      const rate = (1000 * fresh) / (performance.now() - started);
      const event = { type: 'progress', done: Math.min(done, total), total } as const;
      onEvent?.({ ...event, rate, unit: 'images', metrics: { benign: right / fresh } });
    },
  };
  return work;
}

/** The span with what is left to be done; undefined where nothing is. */
function leftOf(span: Span, known: ReadonlyMap<number, SampleRecord>): Span | undefined {
  let [clean, attack, verify] = [false, false, false];
  for (let i = span.from; i < span.to; i++) {
    const record = known.get(i);
    clean ||= !record;
    attack ||= span.attack && !record?.attacks;
    verify ||= span.verify && !record?.verdicts;
  }
  return clean || attack || verify ? { ...span, attack, verify } : undefined;
}
