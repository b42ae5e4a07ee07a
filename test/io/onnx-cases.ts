/** All cases of the ONNX reader's operators. */
import type { OperatorCase } from './onnx-case';
import { COMPUTE_CASES } from './onnx-cases-compute';
import { CONSTANT_CASES } from './onnx-cases-constant';
import { STRUCTURE_CASES } from './onnx-cases-structure';
import { WINDOW_CASES } from './onnx-cases-window';

export const OPERATOR_CASES: readonly OperatorCase[] = [
  ...COMPUTE_CASES,
  ...CONSTANT_CASES,
  ...STRUCTURE_CASES,
  ...WINDOW_CASES,
];
