/**
 * The data sets the library can load. A new one is one file and one line here.
 */
import { cifar10 } from './cifar10';
import { digits } from './digits';
import { fashionMnist } from './fashion-mnist';
import { mnist } from './mnist';
import { npz } from './npz';
import type { DataSource } from './types';

export const datasets = {
  digits,
  mnist,
  'fashion-mnist': fashionMnist,
  cifar10,
  npz,
} as const satisfies Readonly<Record<string, DataSource>>;
