/** `espalier doctor`: what the runtime found on this machine, why, and what would make it faster. */
import { bytes } from '../../report/format';
import { printable } from '../../text';
import { VERSION } from '../../version';
import { engineArgs, shared } from '../args';
import { type Command, type Context, EXIT } from '../command';
import { colors, printJson, printOurs } from '../io';
import { withEngine } from '../job';

interface Diagnosis {
  readonly espalier: string;
  readonly node: string;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly binary: string;
  readonly threads: number;
  readonly reasons: readonly string[];
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  readonly sharedMemory: boolean;
  readonly memory: { readonly ceilingBytes: number; readonly machineBytes: number };
  readonly gflops: number;
  readonly data: readonly {
    readonly name: string;
    readonly found: boolean;
    readonly detail: string;
  }[];
  readonly suggestions: readonly string[];
}

export const command: Command = {
  args: {
    path: { type: 'string', valueHint: 'dir', description: 'where else to look for data sets' },
    ...shared,
    ...engineArgs,
  },
  examples: [
    ['espalier doctor', 'a list; takes a few seconds'],
    ['espalier doctor --json', 'for a bug report'],
  ],
  async run(context) {
    const diagnosis = await diagnose(context);
    if (context.values.on('json')) printJson(context.io, diagnosis);
    else await show(context, diagnosis);
    return diagnosis.simd ? EXIT.done : EXIT.badNews;
  },
};

async function diagnose(context: Context): Promise<Diagnosis> {
  const os = await import('node:os');
  const { values, backend } = context;
  const { simd, relaxed } = await backend.binaries();
  const { info, gflops } = await withEngine(context, async ({ engine }) => ({
    gflops: await backend.productSpeed(engine, 1),
    info: engine.info(),
  }));
  const cpus = os.cpus();
  const cores = os.availableParallelism();
  return {
    espalier: VERSION,
    node: process.version,
    platform: `${os.platform()} ${os.arch()} ${os.release()}`,
    cpu: { model: cpus[0]?.model.trim() ?? 'unknown', cores },
    binary: info.binary,
    threads: info.threads,
    reasons: info.reasons,
    simd,
    relaxedSimd: relaxed,
    sharedMemory: info.memory.shared || canShare(),
    memory: { ceilingBytes: info.memory.maxBytes, machineBytes: os.totalmem() },
    gflops,
    data: await findData(values.text('path')),
    suggestions: suggestions({ relaxed, cores, threads: info.threads, memory: os.totalmem() }),
  };
}

function canShare(): boolean {
  try {
    return (
      new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer instanceof
      SharedArrayBuffer
    );
  } catch {
    return false;
  }
}

/** Tries to read every data set; those that are not there say what they need. */
async function findData(path: string | undefined): Promise<Diagnosis['data']> {
  const { datasets } = await import('../../data/registry');
  const found: Diagnosis['data'][number][] = [];
  for (const [name, source] of Object.entries(datasets))
    try {
      const places = path === undefined ? [undefined] : [undefined, path];
      const set = await firstOf(
        places.map((at) => () => source.load(at === undefined ? {} : { path: at })),
      );
      found.push({
        name,
        found: true,
        detail: `${set.train.count} + ${set.test.count} images, ${set.source}`,
      });
    } catch (error) {
      const detail = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
      found.push({ name, found: false, detail });
    }
  return found;
}

async function firstOf<T>(tries: readonly (() => Promise<T>)[]): Promise<T> {
  let first: unknown;
  for (const attempt of tries)
    try {
      return await attempt();
    } catch (error) {
      first ??= error;
    }
  throw first;
}

function suggestions(facts: {
  relaxed: boolean;
  cores: number;
  threads: number;
  memory: number;
}): string[] {
  const list: string[] = [];
  if (!facts.relaxed)
    list.push(
      'A newer Node, or node --experimental-wasm-relaxed-simd, would give fused multiply-add.',
    );
  if (facts.threads < Math.min(8, facts.cores))
    list.push(`${facts.threads} of ${facts.cores} processors are used; give --threads auto.`);
  if (facts.memory < 2e9) list.push('Less than 2 GB of memory: use small batches.');
  return list;
}

async function show({ io }: Context, d: Diagnosis): Promise<void> {
  const paint = await colors(io.stdout, io.env);
  const mark = (good: boolean) => (good ? paint.green('yes') : paint.yellow('no'));
  const rows: (readonly [string, string])[] = [
    ['espalier', d.espalier],
    ['node', d.node],
    ['platform', d.platform],
    ['processor', `${d.cpu.model}, ${d.cpu.cores} usable`],
    ['SIMD', mark(d.simd)],
    ['relaxed SIMD', mark(d.relaxedSimd)],
    ['shared memory', mark(d.sharedMemory)],
    ['binary', d.binary],
    ['threads', String(d.threads)],
    ...d.reasons.map((reason) => ['', reason] as const),
    [
      'memory',
      `up to ${bytes(d.memory.ceilingBytes)} for the engine; the machine has ${bytes(d.memory.machineBytes)}`,
    ],
    ['matrix product', `${d.gflops.toFixed(1)} GFLOP/s`],
    ...d.data.map(({ name, found, detail }) => {
      const text = printable(detail);
      return [name, found ? text : paint.dim(text)] as const;
    }),
    ...d.suggestions.map((text) => [paint.bold('try'), text] as const),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, text] of rows) printOurs(io, `${name.padEnd(width)}  ${text}`);
}
