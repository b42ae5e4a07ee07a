/** One file for the ONNX reader's tests, and what it should become. */
import type { FileCase, NodeCase } from '../helpers/onnx-files';

export interface OperatorCase extends FileCase {
  readonly title: string;
  /** The layers it becomes, where that matters. */
  readonly layers?: readonly string[];
}

export const of = (
  title: string,
  input: readonly number[],
  nodes: readonly NodeCase[],
  rest: Partial<OperatorCase> = {},
): OperatorCase => ({ title, input, nodes, ...rest });

export const relu: NodeCase = { op: 'Relu' };
