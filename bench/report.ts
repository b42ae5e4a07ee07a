/** Outcomes for people and for programs: tables, and one JSON file a subject with every sample. */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { percent } from '../src/report/format';
import { type Column, renderTable, type TableFormat } from '../src/report/table';
import type { EngineInfo } from '../src/runtime/engine';
import type { Outcome, Ratio, Result } from './harness';

/** What a number is worth nothing without. */
export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly node: string;
  readonly v8: string;
  readonly binary: string;
  readonly threads: number;
  readonly reasons: readonly string[];
}

export function machineOf({ binary, threads, reasons }: EngineInfo): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cpus: processors.length,
    node: process.versions.node,
    v8: process.versions.v8,
    binary,
    threads,
    reasons,
  };
}

export const machineLine = ({ cpu, cpus: count, node, v8, binary, threads }: Machine): string =>
  `${cpu}, ${count} processors; Node ${node} (V8 ${v8}); ${binary} binary, ${threads} ${
    threads === 1 ? 'thread' : 'threads'
  }`;

/** A table of the contestants, and one of the ratios where there are any. */
export function render({ title, results, ratios }: Outcome, format: TableFormat): string {
  const head = format === 'markdown' ? `**${title}**` : title;
  const figures = [...new Set(results.flatMap((result) => Object.keys(result.figures)))];
  const rows = results.map((result) => [
    ...resultCells(result),
    ...figures.map((key) => result.figures[key] ?? ''),
  ]);
  const tables = [table([...RESULTS, ...figures], rows, format)];
  if (ratios.length > 0) tables.push(table(RATIOS, ratios.map(ratioCells), format));
  return [head, ...tables].join('\n\n');
}

const RESULTS = ['', 'GFLOP/s', 'best', 'images/s', 'median ms', 'min ms', 'spread', 'samples'];
const RATIOS = ['', 'over', 'ratio', 'wanted', ''];

/** A table without the columns that would be empty. */
function table(titles: readonly string[], rows: readonly string[][], format: TableFormat): string {
  const used = titles.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const columns = used.map(
    (i): Column => ({ title: titles[i]!, align: i === 0 ? 'left' : 'right' }),
  );
  return renderTable({ columns, rows: rows.map((row) => used.map((i) => row[i]!)) }, format);
}

const digits = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 3);

function resultCells({ name, flops, images, min, median, spread, samples }: Result): string[] {
  const per = (amount: number | undefined, seconds: number, unit: number): string =>
    amount === undefined ? '' : (amount / seconds / unit).toFixed(unit === 1 ? 0 : 1);
  return [
    name,
    per(flops, median, 1e9),
    per(flops, min, 1e9),
    per(images, median, 1),
    digits(1000 * median),
    digits(1000 * min),
    percent(spread, 1),
    String(samples.length),
  ];
}

function ratioCells({ of, to, value, bar }: Ratio): string[] {
  const wanted = bar ? [`>= ${bar.toFixed(2)}`, value >= bar ? 'met' : 'missed'] : ['', ''];
  return [of, to, value.toFixed(2), ...wanted];
}

/** Writes `folder/NAME-BINARY-THREADSt-nodeMAJOR.json`; returns its path. */
export async function save(
  folder: string,
  name: string,
  machine: Machine,
  outcomes: readonly Outcome[],
): Promise<string> {
  const major = machine.node.split('.')[0];
  const path = join(folder, `${name}-${machine.binary}-${machine.threads}t-node${major}.json`);
  await mkdir(folder, { recursive: true });
  const body = { subject: name, machine, date: new Date().toISOString(), outcomes };
  const short = (_: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(6)) : value;
  await writeFile(path, `${JSON.stringify(body, short, 1)}\n`);
  return path;
}
