/** The event stream on standard error: JSON lines in a pipe, a bar on a terminal. */
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Io } from '../../src/cli/io';
import { createProgress, lineProgress } from '../../src/cli/progress';
import type { RunEvent } from '../../src/events';

const phase: RunEvent = {
  type: 'phase',
  phase: 'pretrain',
  title: 'pre-training',
  total: 100,
  done: 0,
};
const progress = (done: number, rate = 20): RunEvent => ({
  type: 'progress',
  done,
  total: 100,
  rate,
  unit: 'images',
  metrics: { loss: 0.123456789, odd: Number.NaN },
});

function ioOf(stderr: Io['stderr']): Io {
  const stdout = { write: () => true };
  return { stdout, stderr, env: {}, asked: () => 0 };
}

describe('lines', () => {
  it('are JSON, with phase, time and seconds left, progress at most every second', () => {
    let text = '';
    let now = 1e12;
    const { listener } = lineProgress(ioOf({ write: (more) => (text += more) }), () => now);
    listener(phase);
    for (let done = 1; done <= 100; done++) {
      now += 100;
      listener(progress(done));
    }
    listener({ type: 'warning', text: 'careful' });
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(1 + 10 + 1 + 1);
    expect(lines[0]).toEqual({ time: new Date(1e12).toISOString(), ...phase });
    expect(lines[1]).toMatchObject({ phase: 'pretrain', type: 'progress', done: 1, left: 4.95 });
    expect(lines[1].metrics).toEqual({ loss: 0.123457, odd: 'NaN' });
    expect(lines.at(-2)).toMatchObject({ done: 100, left: 0 });
    expect(lines.at(-1)).toMatchObject({ type: 'warning', text: 'careful' });
  });
});

describe('the bar', () => {
  it('shows title, count, rate, time left and metrics, and leaves the cursor on', async () => {
    const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 200 });
    const terminal = Object.assign(stream, { cursorTo: () => true, clearLine: () => true });
    let text = '';
    stream.on('data', (chunk) => (text += chunk));
    const { listener, stop } = await createProgress(ioOf(terminal), false);
    listener(phase);
    listener(progress(50, 10));
    listener({ type: 'note', text: 'half of it' });
    listener(progress(100));
    stop();
    stop();
    await new Promise((resolve) => setImmediate(resolve));
    for (const part of [
      'pre-training',
      '50/100 images',
      '10.0/s',
      '5.0 s left',
      'loss 0.123',
      'half of it',
      'took',
    ])
      expect(text).toContain(part);
    expect(text.trimEnd().endsWith('\u001b[?25h') || text.includes('\u001b[?25h')).toBe(true);
  });

  it('gives way to lines with --json', async () => {
    let text = '';
    const { listener } = await createProgress(
      ioOf({ isTTY: true, write: (more) => (text += more) }),
      true,
    );
    listener(phase);
    expect(JSON.parse(text)).toMatchObject({ phase: 'pretrain' });
  });
});
