/**
 * A network from the layers of a PyTorch module that was pickled whole: chains of `nn.Sequential`
 * only, as what other classes do with their layers is code, which no file is asked for.
 *
 * Adding a layer is one line of the table below. Node names are the dotted paths with "-" for ".", so
 * the tensors fit by name.
 */
import { EspalierError, fail } from '../errors';
import type { Network, NodeSpec } from '../nn/graph';
import type { Shape } from '../tensor/shape';
import type { Setting, TorchModule } from './torch/tree';

/** The settings of one layer, and whether it has a tensor of this local name. */
interface Layer {
  readonly get: (key: string) => Setting | undefined;
  readonly has: (local: string) => boolean;
}
type Options = Readonly<Record<string, unknown>>;

/** Our layer and its options; null where nothing is done in inference; a text says what is not understood. */
type Rule = (layer: Layer) => readonly [kind: string, options?: Options] | null | string;

const normOf: Rule = ({ get, has }) => {
  if (!has('running_mean') || !has('weight')) return 'without running statistics or weights';
  return ['batch-norm', { epsilon: get('eps'), momentum: get('momentum') ?? 0.1 }];
};

/** Padding as [vertical, horizontal]; "same" in PyTorch puts the odd one at the end. */
function convPadding({ get }: Layer): unknown {
  const padding = get('padding');
  if (padding === 'valid') return 0;
  if (padding !== 'same') return padding;
  const [kernel, dilation] = [pairOf(get('kernel_size')), pairOf(get('dilation'))];
  const total = kernel.map((k, i) => dilation[i]! * (k - 1));
  const before = total.map((t) => Math.floor(t / 2));
  return [...before, ...total.map((t, i) => t - before[i]!)];
}

function pairOf(value: Setting | undefined): readonly number[] {
  if (Array.isArray(value)) return value;
  return typeof value === 'number' ? [value, value] : [1, 1];
}

const isOne = (value: Setting | undefined): boolean => pairOf(value).every((size) => size === 1);

const RULES: Readonly<Record<string, Rule>> = {
  Sequential: () => null,
  Linear: ({ get, has }) => ['dense', { units: get('out_features'), bias: has('bias') }],
  Conv2d: (layer) => {
    const { get, has } = layer;
    if (get('padding_mode') !== 'zeros') return `padding_mode ${get('padding_mode')}`;
    const { stride, dilation, groups } = {
      stride: get('stride'),
      dilation: get('dilation'),
      groups: get('groups'),
    };
    const shape = {
      channels: get('out_channels'),
      kernel: get('kernel_size'),
      stride,
      dilation,
      groups,
    };
    return ['conv2d', { ...shape, padding: convPadding(layer), bias: has('bias') }];
  },
  BatchNorm1d: normOf,
  BatchNorm2d: normOf,
  ReLU: () => ['relu'],
  LeakyReLU: ({ get }) => ['leaky-relu', { slope: get('negative_slope') }],
  Sigmoid: () => ['sigmoid'],
  Tanh: () => ['tanh'],
  MaxPool2d: ({ get }) => {
    if (!isOne(get('dilation')) || get('ceil_mode') === true) return 'dilation or ceil_mode';
    return [
      'max-pool',
      { kernel: get('kernel_size'), stride: get('stride'), padding: get('padding') },
    ];
  },
  AvgPool2d: ({ get }) => {
    if (get('ceil_mode') === true || get('divisor_override') != null)
      return 'ceil_mode or a divisor';
    const sizes = { kernel: get('kernel_size'), stride: get('stride'), padding: get('padding') };
    return ['avg-pool', { ...sizes, countPadding: get('count_include_pad') }];
  },
  Flatten: ({ get }) =>
    get('start_dim') === 1 && get('end_dim') === -1 ? ['flatten'] : 'a range of axes',
  Dropout: ({ get }) => ['dropout', { rate: get('p') }],
  Dropout2d: () => null,
  Identity: () => null,
};

/** The classes that are understood. */
export const moduleTypes: readonly string[] = Object.keys(RULES);

/**
 * The chain of the layers, in order; `names` are those of the file's tensors. `input` may be left
 * out where the first layer with weights is fully connected.
 *
 * Raises EspalierError listing all layers that are not understood, or naming the missing input.
 */
export function networkOfModules(
  modules: readonly TorchModule[],
  names: ReadonlySet<string>,
  who: string,
  input?: Shape,
): Network {
  const nodes: NodeSpec[] = [];
  const problems: string[] = [];
  for (const { name, type, settings } of modules) {
    const rule = Object.hasOwn(RULES, type) ? RULES[type] : undefined;
    const has = (local: string): boolean => names.has(name === '' ? local : `${name}.${local}`);
    const found = rule ? rule({ get: (key) => settings.get(key), has }) : 'no such layer here';
    if (typeof found === 'string') problems.push(`  ${name || 'the module'}: ${type}: ${found}`);
    else if (found) {
      const [layer, options] = found;
      nodes.push({ name: nodeName(name, type), layer, ...(options && { options }) });
    }
  }
  if (problems.length > 0)
    throw new EspalierError(
      [`${who}: expected a chain of known layers, got others. Name its network instead.`]
        .concat(problems.slice(0, 40))
        .join('\n'),
    );
  const name = who.replace(/^.*[\\/]/, '').replace(/\.\w+$/, '') || 'network';
  return { name, input: input ?? firstFeatures(modules, who), nodes };
}

const nodeName = (name: string, type: string): string =>
  name.replace(/[^\w]+/g, '-') || type.toLowerCase();

function firstFeatures(modules: readonly TorchModule[], who: string): Shape {
  const first = modules.find(({ type }) => type === 'Linear' || type === 'Conv2d');
  const features = first?.type === 'Linear' ? first.settings.get('in_features') : undefined;
  if (typeof features === 'number') return [features];
  return fail(who, 'the shape of one input', 'none', 'Give it as input, such as 3,32,32.');
}
