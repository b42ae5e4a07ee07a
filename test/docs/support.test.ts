/**
 * The last part of docs/formats.md is written by this test, from the registries: a cell says yes
 * because the layer was run that way just now. UPDATE_DOCS=1 brings the page up to date.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hiddenBounds, lowerBounds } from '../../src/bounds/linear';
import { propagate } from '../../src/domain/domain';
import { interval } from '../../src/domain/interval';
import { value } from '../../src/domain/value';
import { UNDERSTOOD } from '../../src/io/kind';
import { moduleTypes } from '../../src/io/modules';
import { OPSETS, operators, readOnnx } from '../../src/io/onnx/reader';
import { compile, type Graph } from '../../src/nn/graph';
import { layers } from '../../src/nn/layers/registry';
import { freeModel, type Model } from '../../src/nn/model';
import { writers } from '../../src/recipe/convert';
import { type Engine, load } from '../../src/runtime/engine';
import { sum } from '../../src/tensor/ops/core';
import { sizeOf } from '../../src/tensor/shape';
import { gradients } from '../../src/tensor/tape';
import { input, step, type Tensor } from '../../src/tensor/tensor';
import { LAYER_CASES, modelOf, networkOf, randomWeights } from '../helpers/networks';
import { onnxFile } from '../helpers/onnx-files';
import { sampler } from '../helpers/random';
import { OPERATOR_CASES } from '../io/onnx-cases';
import { ROOT, read } from './markdown';

let engine: Engine;
beforeAll(async () => {
  engine = await load({ threads: 1 });
});
afterAll(() => engine.close());

/** Runs a layer one way and returns what came out; absent where the way is not built yet. */
type Way = (model: Model, x: Tensor) => readonly Tensor[];
const WAYS: Readonly<Record<string, Way | undefined>> = {
  value: ({ graph, params }, x) => [propagate(graph, params, value, x)],
  train: ({ graph, params }, x) => {
    const wanted = [x, ...params.values()];
    const loss = () => ({ loss: sum(propagate(graph, params, value, x)) });
    return gradients(engine, wanted, loss).gradients;
  },
  interval: ({ graph, params }, x) => {
    const { lo, hi } = propagate(graph, params, interval({ sound: true }), { lo: x, hi: x });
    return [lo, hi];
  },
  'linear bounds': (model, x) => {
    const scene = hiddenBounds(model, { box: { lo: x, hi: x } }, { sound: true });
    const size = sizeOf(model.graph.output);
    const units = Array.from({ length: 2 * size }, (_, r) => r % size);
    const values = { index: Int32Array.from(units), factor: new Float32Array(2 * size).fill(1) };
    const at = Int32Array.from(values.index, (_, r) => Math.floor(r / size));
    return [lowerBounds(scene, { sample: at, values })];
  },
  'sparse plan': undefined,
};

/** "yes" if every case of the layer gives finite numbers this way, and not zeros alone. */
function cell(kind: string, way: Way | undefined): string {
  if (!way) return 'not yet';
  const cases = LAYER_CASES.filter((layerCase) => layerCase.kind === kind);
  expect(cases.length, `cases of ${kind} in test/helpers/networks.ts`).toBeGreaterThan(0);
  const works = cases.every((layerCase) => runs(compile(networkOf(layerCase)), way));
  return works ? 'yes' : 'no';
}

function runs(graph: Graph, way: Way): boolean {
  const random = sampler(1);
  const model = modelOf(engine, graph.network, randomWeights(graph, random));
  try {
    return step(engine, () => {
      const shape = [2, ...graph.network.input];
      const x = input(engine, random.array(shape, 0.1, 0.9).data, shape);
      const found = way(model, x).map((t) => t.read());
      return (
        found.every((values) => values.every(Number.isFinite)) && found[0]!.some((v) => v !== 0)
      );
    });
  } finally {
    freeModel(model);
  }
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** Layers that the cases of an operator, by themselves, become. */
function operatorRows(): string[][] {
  const found = new Map(Object.keys(operators).map((name) => [name, new Set<string>()]));
  for (const given of OPERATOR_CASES) {
    const live = given.nodes.filter(({ op }) => op !== 'Constant' && op !== 'Shape');
    const [node] = live;
    const name = node?.domain ? `${node.domain}.${node.op}` : node?.op;
    if (live.length !== 1 || name === undefined) continue;
    for (const { layer } of readOnnx(onnxFile(given), 'case').network.nodes)
      found.get(name)?.add(layer);
  }
  const moves = ['flatten', 'reshape'];
  return [...found].sort().map(([name, kinds]) => {
    const made = [...kinds].filter((kind) => !moves.includes(kind));
    return [`\`${name}\``, made.map((kind) => `\`${kind}\``).join(', ') || '-'];
  });
}

const escaped = (text: string): string => text.replaceAll('|', '\\|');

const BEGIN = '<!-- generated from the registries by test/docs/support.test.ts: do not edit -->';

describe('docs/formats.md, what is supported', () => {
  it('says what the code does', () => {
    const rows = Object.entries(layers).map(([kind, { role, about }]) => [
      `\`${kind}\``,
      role,
      escaped(about),
      ...Object.values(WAYS).map((way) => cell(kind, way)),
    ]);
    const outputs = Object.entries(writers).map(([extension, { about }]) => [
      `\`.${extension}\``,
      about,
    ]);
    const page = [
      BEGIN,
      '',
      '### Layers',
      '',
      'value: runs. train: gradients of input and parameters. interval: sound bounds of a box. linear',
      'bounds: backward bounds (CROWN). sparse plan: compiled for sparse weights.',
      '',
      table(['layer', 'role', 'what', ...Object.keys(WAYS)], rows),
      '',
      '### Files',
      '',
      `Read: ${UNDERSTOOD}; told apart by content, not by name.`,
      '',
      `Operators of ONNX files, of operator sets ${OPSETS[0]} to ${OPSETS[1]}, and the layers that they become where they work on values that`,
      'depend on the input. All of them fold away over constants; those with a dash are read over constants alone,',
      'or only move values. gelu (by `Erf` or `Tanh`) and hard-swish (by `HardSigmoid` or `Clip`) are known as exporters spell',
      'them, their steps in any order, where rounding stays within what the layer counts; other uses of `Erf` are refused.',
      '',
      table(['operator', 'layers'], operatorRows()),
      '',
      'Layers of PyTorch modules that were pickled whole:',
      '',
      `${moduleTypes.map((name) => `\`${name}\``).join(', ')}.`,
      '',
      'Written, by the extension of the name:',
      '',
      table(['extension', 'what'], outputs),
      '',
    ].join('\n');
    const formats = read('docs/formats.md');
    const current = formats.slice(0, formats.indexOf(BEGIN)) + page;
    if (process.env.UPDATE_DOCS) writeFileSync(join(ROOT, 'docs/formats.md'), current);
    else expect(formats).toBe(current);
  });
});
