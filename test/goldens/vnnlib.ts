/** The VNN-LIB instances of the goldens: what each expects, and a search of it. */
import { readFileSync } from 'node:fs';
import { type FileVerdict, verifyFile } from '../../src/evaluate/verify';
import { parseVnnlib } from '../../src/io/vnnlib';
import type { Engine } from '../../src/runtime/engine';
import { FOLDER, PRESENT } from './goldens';

export interface Instance {
  readonly id: string;
  readonly onnx: string;
  readonly vnnlib: string;
  readonly expected_vnnlib: 'sat' | 'unsat';
}

const DIR = `${FOLDER}/vnnlib`;

export const INSTANCES: readonly Instance[] = PRESENT
  ? JSON.parse(readFileSync(`${DIR}/instances.json`, 'utf8')).instances
  : [];

export const propertyOf = ({ vnnlib }: Instance) =>
  parseVnnlib(readFileSync(`${DIR}/${vnnlib}`, 'utf8'), vnnlib);

export const answer = (
  engine: Engine,
  { onnx, vnnlib }: Instance,
  limits: { readonly seconds?: number; readonly nodes?: number },
): Promise<FileVerdict> =>
  verifyFile(engine, { model: `${DIR}/${onnx}`, as: {}, spec: `${DIR}/${vnnlib}`, ...limits });
