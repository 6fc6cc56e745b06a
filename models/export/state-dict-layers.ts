// Names and layouts that PyTorch's modules give the weights of each kind of layer; the compiler proves the table complete.

import type { LayerKind, WeightName } from '../../search-space/index.ts'

type StateTensorRule = {
  /** Behind the module's name. */
  readonly name: string
  /** Axis i of PyTorch's tensor is axis `order[i]` of ours; none for vectors. */
  readonly order?: readonly number[]
}

type StateDictRule<Kind extends LayerKind> = { readonly [Name in WeightName<Kind>]: StateTensorRule }

const NO_STATE = {}

const stateDictRules: { readonly [Kind in LayerKind]: StateDictRule<Kind> } = {
  activation: NO_STATE,
  add: NO_STATE,
  /** Its running statistics are not weights here: state-dict.ts adds them. */
  batchNorm: { gamma: { name: 'weight' }, beta: { name: 'bias' } },
  channelRange: NO_STATE,
  channelShuffle: NO_STATE,
  concat: NO_STATE,
  /** [kernel, kernel, in / groups, out] to [out, in / groups, kernel, kernel]. */
  conv2d: { filter: { name: 'weight', order: [3, 2, 0, 1] } },
  crop: NO_STATE,
  /** [kernel, kernel, channels, 1] to [channels, 1, kernel, kernel]. */
  depthwiseConv2d: { filter: { name: 'weight', order: [2, 3, 0, 1] } },
  globalAveragePool: NO_STATE,
  input: NO_STATE,
  linear: { weights: { name: 'weight', order: [1, 0] }, bias: { name: 'bias' } },
  multiply: NO_STATE,
  pool: NO_STATE,
  splitAttention: NO_STATE,
  zero: NO_STATE,
}

type StateTensorName = {
  /** Of our weight. */
  readonly key: string
  /** Of theirs. */
  readonly name: string
  readonly order: readonly number[] | undefined
}

/** The weights of a layer whose keys begin with `ours` and a dot, in the module `theirs`. */
function stateTensors(kind: LayerKind, ours: string, theirs: string): StateTensorName[] {
  return Object.entries<StateTensorRule>(stateDictRules[kind]).map(([weight, { name, order }]) => {
    return { key: `${ours}.${weight}`, name: `${theirs}.${name}`, order }
  })
}

export { stateTensors }
