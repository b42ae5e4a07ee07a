/**
 * Shows the event stream of a run on standard error: a bar with rate and time left on a terminal,
 * JSON lines elsewhere (or with --json), progress at most every second.
 */
import type { SingleBar } from 'cli-progress';
import type { Colors } from 'picocolors/types';
import type { Listener, MessageEvent, PhaseEvent, ProgressEvent, RunEvent } from '../events';
import { duration, rate as formatRate, short } from '../report/format';
import { printable, printableJson } from '../text';
import { colors, type Io, tell } from './io';

export interface Progress {
  readonly listener: Listener;
  /** Leaves the last state on the screen and gives the terminal back. */
  stop(): void;
}

const INTERVAL_MS = 1000;

export async function createProgress(io: Io, json: boolean): Promise<Progress> {
  return io.stderr.isTTY && !json ? barProgress(io) : lineProgress(io);
}

/** One JSON object a line: the event, the time, its phase and the seconds left. */
export function lineProgress(io: Io, now: () => number = Date.now): Progress {
  let phase: string | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const write = (event: RunEvent) => {
    const time = new Date(now()).toISOString();
    const left = event.type === 'progress' ? secondsLeft(event) : undefined;
    const line = { time, ...(phase && { phase }), ...event, ...(left !== undefined && { left }) };
    io.stderr.write(`${printableJson(JSON.stringify(line, rounded))}\n`);
  };
  return {
    listener(event) {
      if (event.type === 'phase') phase = event.phase;
      if (event.type === 'progress') {
        if (event.done < event.total && now() - last < INTERVAL_MS) return;
        last = now();
      }
      write(event);
    },
    stop: () => undefined,
  };
}

async function barProgress(io: Io): Promise<Progress> {
  const { SingleBar } = (await import('cli-progress')).default;
  const paint = await colors(io.stderr, io.env);
  let bar: SingleBar | undefined;
  let payload = { title: '', unit: '', speed: '', left: '', metrics: '' };
  let began = 0;
  const stop = () => {
    bar?.stop();
    bar = undefined;
  };
  const start = (event: PhaseEvent) => {
    stop();
    began = Date.now();
    payload = {
      title: printable(event.title).padEnd(12),
      unit: '',
      speed: '',
      left: '',
      metrics: '',
    };
    bar = new SingleBar(barOptions(io, paint));
    bar.start(Math.max(1, event.total), event.done, payload);
  };
  const progress = (event: ProgressEvent) => {
    if (!bar) return;
    payload = { ...payload, ...payloadOf(event, (Date.now() - began) / 1000) };
    bar.setTotal(Math.max(1, event.total));
    bar.update(event.done, payload);
  };
  const message = (event: MessageEvent) => {
    const marks = { note: '', warning: paint.yellow('warning: '), fault: paint.red('error: ') };
    const mark = marks[event.type];
    // Over the bar's line; the bar is drawn again below.
    tell(io, event.text, `${bar ? '\r\u001b[2K' : ''}${mark}`);
    bar?.render();
  };
  return {
    listener(event) {
      if (event.type === 'phase') start(event);
      else if (event.type === 'progress') progress(event);
      else message(event);
    },
    stop,
  };
}

const barOptions = (io: Io, paint: Colors) => ({
  stream: io.stderr as NodeJS.WritableStream,
  format: `${paint.bold('{title}')} ${paint.green('{bar}')} {percentage}% {value}/{total}{unit}{speed}{left}${paint.dim('{metrics}')}`,
  barCompleteChar: '█',
  barIncompleteChar: '░',
  barsize: Math.max(8, Math.min(30, (io.stderr.columns ?? 80) - 70)),
  hideCursor: true,
  forceRedraw: true,
  gracefulExit: false,
  fps: 8,
});

/** Texts behind the bar; `took` is in seconds. */
function payloadOf(event: ProgressEvent, took: number) {
  const left = secondsLeft(event);
  const ending = left === undefined ? '' : `, ${duration(left)} left`;
  return {
    unit: ` ${event.unit}`,
    speed: `, ${formatRate(event.rate)}/s`,
    left: event.done >= event.total ? `, took ${duration(took)}` : ending,
    metrics: Object.entries(event.metrics)
      .map(([k, x]) => `  ${printable(k)} ${short(x)}`)
      .join(''),
  };
}

function secondsLeft({ done, total, rate }: ProgressEvent): number | undefined {
  return rate > 0 ? Math.max(0, total - done) / rate : undefined;
}

/** Six digits are enough for a log; NaN becomes a word, as JSON would make it null. */
function rounded(_: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isInteger(value)) return value;
  return Number.isFinite(value) ? Number(value.toPrecision(6)) : String(value);
}
