/**
 * What every long command does around its work: the engine, the bar, signals, and the config that
 * its arguments stand for.
 */
import { EspalierError, expect, fail } from '../errors';
import type { Listener, StopSignal } from '../events';
import type { ReadOptions } from '../io/read';
import { parseOptions, real, whole } from '../options';
import type { Config } from '../recipe/config';
import type { Values } from './args';
import type { EngineHandle, Hooks, OutFile } from './backend';
import type { Context } from './command';
import { createProgress } from './progress';

export interface Job extends Hooks {
  readonly engine: EngineHandle;
}

/** Runs `work` with an engine and hooks; everything is given back afterwards. */
export async function withEngine<T>(
  { io, values, backend, faults }: Context,
  work: (job: Job) => Promise<T>,
  threads?: number,
): Promise<T> {
  const given = values.engine();
  const options = threads !== undefined && given.threads === 'auto' ? { ...given, threads } : given;
  const progress = await createProgress(io, values.on('json'));
  const onEvent: Listener = (event) => {
    if (event.type === 'fault') faults.push(event.text);
    progress.listener(event);
  };
  const signal: StopSignal = {
    get aborted() {
      return io.asked() !== 0;
    },
  };
  let engine: EngineHandle | undefined;
  try {
    engine = await backend.load(options);
    return await work({ engine, onEvent, signal });
  } finally {
    progress.stop();
    engine?.close();
  }
}

/** The config file named (or the default), changed by --set and --seed. */
export async function readConfig(path: string | undefined, values: Values): Promise<Config> {
  const { applySet, DEFAULT_CONFIG, loadConfig } = await import('../recipe/config');
  const seed = values.seed();
  const sets = [...values.all('set'), ...(seed === undefined ? [] : [`seed=${seed}`])];
  return path === undefined
    ? applySet(DEFAULT_CONFIG, sets, 'the default config')
    : loadConfig(path, sets);
}

/**
 * The config recorded in a model, with the data set, radius and plug-ins that the options name.
 * Without a record the options must name the data set.
 */
export async function modelConfig(context: Context, sets: readonly string[]): Promise<Config> {
  const { applySet } = await import('../recipe/config');
  const { values, backend } = context;
  const model = values.text('model')!;
  const recorded = await backend.recordedConfig(model);
  const data = values.text('data');
  if (recorded === undefined && data === undefined)
    throw new EspalierError(`--data: expected a data set, as ${model} records none, got nothing.`);
  const seed = values.seed();
  const path = values.text('path');
  return applySet(
    recorded ?? {},
    [
      ...(data === undefined ? [] : [`data=${JSON.stringify({ name: data })}`]),
      ...(path === undefined ? [] : [`data.path=${JSON.stringify(path)}`]),
      ...(seed === undefined ? [] : [`seed=${seed}`]),
      ...sets,
      ...values.all('set'),
    ],
    model,
  );
}

/** Options to read a model of another tool by, as `foreignArgs` say. */
export function readOptions(values: Values): ReadOptions {
  const [network, output] = [values.text('network'), values.text('output')];
  const input = numbers(values, 'input')?.map((size) => parseOptions(whole(1), size, '--input'));
  const classes = values.number('classes', whole(1, 1_000_000));
  const key = values.text('key');
  const ignore = values.all('ignore');
  const mean = numbers(values, 'mean')?.map((m) => parseOptions(real(), m, '--mean'));
  const std = numbers(values, 'std')?.map((s) => parseOptions(real(1e-12), s, '--std'));
  expect((mean === undefined) === (std === undefined), '--mean, --std', 'both or none', 'one');
  return {
    ...(network !== undefined && { network }),
    ...(output !== undefined && { output }),
    ...(input && { input }),
    ...(classes !== undefined && { classes }),
    ...(key !== undefined && { key }),
    ...(values.on('by-order') && { byOrder: true }),
    ...(ignore.length > 0 && { ignore }),
    ...(mean && std && { normalise: { mean, std } }),
  };
}

function numbers(values: Values, name: string): number[] | undefined {
  const text = values.text(name);
  return text?.split(/[,x]/).map((part) => {
    const number = part.trim() === '' ? Number.NaN : Number(part);
    return Number.isFinite(number) ? number : fail(`--${name}`, 'numbers like 1,28,28', text);
  });
}

/**
 * Raises an error, before the work, where the output file is one of the inputs, exists and --force was
 * not given, or cannot be.
 */
export async function freeOutput(
  out: string,
  values: Values,
  inputs: readonly string[] = [],
): Promise<Required<OutFile>> {
  const { checkWritable, isSameFile, kindOf } = await import('../io/files');
  const { dirname } = await import('node:path');
  const { lstat } = await import('node:fs/promises');
  const kind = await kindOf(out);
  if (kind === 'folder') fail(out, 'the name of a file', 'a folder');
  const there = await lstat(out).catch(() => undefined);
  if (there && kind === undefined)
    fail(out, 'the name of a file', there.isSymbolicLink() ? 'a link to nothing' : 'a device');
  for (const path of inputs)
    if (await isSameFile(out, path))
      fail(out, 'another file than those it is made of', path, 'Choose another name.');
  if (kind === 'file' && !values.on('force'))
    fail(out, 'no such file yet', 'one', 'Choose another name, or --force to replace it.');
  const folder = dirname(out);
  if ((await kindOf(folder)) !== 'folder') fail(out, 'a folder to write to', `none at ${folder}`);
  await checkWritable(folder, out);
  return { out, replace: values.on('force') };
}

/** "runs/a/dense.safetensors", "pruned" -> "runs/a/dense-pruned.safetensors". */
export function besides(model: string, suffix: string): string {
  return `${stem(model)}-${suffix}.safetensors`;
}

/** A model's path without the extension of a model file. */
export function stem(model: string): string {
  return model.replace(/\.(safetensors|compact|onnx|npz|pth?)$/, '');
}
