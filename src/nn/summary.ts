/** A network in words: one line a node, with shapes and parameters. */
import { largest } from '../statistics';
import { sizeOf } from '../tensor/shape';
import { compile, type Network } from './graph';

/** Layers, output shapes and parameter counts of a network, as aligned text. */
export function summary(network: Network): string {
  const { nodes } = compile(network);
  const sizes = nodes.map(({ params }) =>
    Object.values(params).reduce((total, { shape }) => total + sizeOf(shape), 0),
  );
  const rows = [
    ['node', 'layer', 'output', 'parameters'],
    ...nodes.map(({ name, kind, shape }, i) => [
      name,
      kind,
      shape.join(' x '),
      sizes[i]!.toLocaleString('en'),
    ]),
  ];
  const widths = rows[0]!.map((_, c) => largest(rows.map((row) => row[c]!.length)));
  const total = sizes.reduce((a, b) => a + b, 0).toLocaleString('en');
  const lines = rows.map((row) =>
    row
      .map((cell, c) => cell.padEnd(widths[c]!))
      .join('  ')
      .trimEnd(),
  );
  return [
    `${network.name}: input ${network.input.join(' x ')}`,
    ...lines,
    `${total} parameters`,
  ].join('\n');
}
