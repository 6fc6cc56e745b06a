// Reads keys of latency tables; search-space/latency-key.ts prints them. The grammar is that of the published
// ProxylessNAS tables with one type more, so it is strict: reading what was printed, or printing what was read, changes nothing.
//
//   key     = type "-" field *( "-" field )        fields in the order given below
//   field   = name ":" value
//   value   = number | number "x" number "x" number | "0" | "1" | count | activation | levels
//   number  = a whole number from 1, without leading zeros; a count may be 0
//
// Tables from elsewhere hold more than a space asks for. Tables for MobileNetV3 spaces add `-se:0|1-hs:0|1` (squeeze and
// excite, hard swish) to expanded_conv and give the expanded width in channels under `expand` instead of the ratio. Other
// types (`AvgPool2D-input:…-output:…`) are kept as they are; only their outer form is checked.

import {
  type Activation,
  activations,
  latencyKey,
  type LatencyOperation,
  readLevels,
  type Shape,
  type TreeLevelForm,
} from '../../search-space/index.ts'

type Mbconv = Extract<LatencyOperation, { type: 'expanded_conv' }>

/** What an entry of a table may be for: an operation of a space, or something that only tables from elsewhere have. */
type TableOperation =
  | LatencyOperation
  | (Pick<Mbconv, 'input' | 'output' | 'kernel' | 'stride' | 'shortcut'> & {
      readonly type: 'expanded_conv with se and hs'
      /** Channels between expand and project. */
      readonly expandedWidth: number
      readonly squeezeExcite: boolean
      readonly hardSwish: boolean
    })
  | { readonly type: 'other'; readonly name: string }

/** A key that is not of the grammar. The message names the key and what was expected in it. */
class LatencyKeyError extends Error {
  override readonly name = 'LatencyKeyError'
  readonly code = 'latency-key'
  readonly key: string

  constructor(key: string, message: string) {
    super(`${message} (latency key "${key}")`)
    this.key = key
  }
}

type OperationType = LatencyOperation['type']

/** What a field's value looks like: height×width×channels, a whole number from 1 or from 0, 0 and 1 for no and yes, an activation, or levels of a tree. */
type FieldKind = 'shape' | 'number' | 'count' | 'flag' | 'activation' | 'levels'

/** Fields of every type, in the order in which keys have them. */
const grammar = {
  Conv: { input: 'shape', output: 'shape' },
  Conv_1: { input: 'shape', output: 'shape' },
  Logits: { input: 'shape', output: 'number' },
  Projection: { input: 'shape', output: 'shape', stride: 'number' },
  expanded_conv: { input: 'shape', output: 'shape', expand: 'number', kernel: 'number', stride: 'number', idskip: 'flag' },
  ConvNorm: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  ReluConvNorm: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  SepConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  DilConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  AvgPool: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  MaxPool: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  ResidualBlock: { input: 'shape', output: 'shape' },
  FactorizedReduce: { input: 'shape', output: 'shape' },
  NormLogits: { input: 'shape', output: 'number' },
  ConvActivation: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number', act: 'activation' },
  SplitDepthwise: {
    ...({ input: 'shape', output: 'shape', kernel: 'number', stride: 'number' } as const),
    ...({ splits: 'count', hidden: 'count', act: 'activation' } as const),
  },
  ConvLinear: { input: 'shape', output: 'shape', idskip: 'flag' },
  PlainConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  NormReluConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  Add: { input: 'shape', output: 'shape' },
  Concat: { input: 'shape', output: 'shape' },
  NormSepConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  NormDilConv: { input: 'shape', output: 'shape', kernel: 'number', stride: 'number' },
  TreeBlock: { input: 'shape', output: 'shape', width: 'number', groups: 'number', tree: 'levels' },
} as const satisfies Record<OperationType, Record<string, FieldKind>>

/** Fields of an expanded_conv as tables for MobileNetV3 spaces have them. */
const variantFields = { ...grammar.expanded_conv, se: 'flag', hs: 'flag' } as const satisfies Record<string, FieldKind>

/** Any type with any fields. */
const OTHER_KEY = /^([A-Za-z]\w*)(-[A-Za-z]\w*:[A-Za-z0-9_.]+)+$/

const expectations = {
  shape: 'height x width x channels such as 112x112x16',
  number: 'a whole number from 1',
  count: 'a whole number from 0',
  flag: '0 or 1',
  activation: activations.join(', '),
  levels: 'levels of a tree such as split_add_residual.replicate_add',
} as const satisfies Record<FieldKind, string>

/** The values of one key's fields, already of their kind. */
type Values = {
  shape(field: string): Shape
  number(field: string): number
  flag(field: string): boolean
  activation(field: string): Activation
  levels(field: string): readonly TreeLevelForm[]
}

function readNumber(text: string): number | null {
  if (!/^[1-9]\d*$/.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : null
}

const numberReaders = {
  number: readNumber,
  count: (text: string) => (text === '0' ? 0 : readNumber(text)),
  flag: (text: string) => (text === '0' || text === '1' ? Number(text) : null),
} as const satisfies Record<Exclude<FieldKind, 'shape' | 'activation' | 'levels'>, (text: string) => number | null>

function readShape(text: string): Shape | null {
  const sizes = text.split('x').map(readNumber)
  const [height, width, channels] = sizes
  return sizes.length === 3 && height && width && channels ? [height, width, channels] : null
}

function isType(text: string): text is OperationType {
  return Object.hasOwn(grammar, text)
}

function readValues(key: string, type: OperationType, parts: readonly string[], expected: Record<string, FieldKind>): Values {
  const fields = Object.entries<FieldKind>(expected)
  const numbers = new Map<string, number>()
  const shapes = new Map<string, Shape>()
  const names = new Map<string, Activation>()
  const trees = new Map<string, readonly TreeLevelForm[]>()
  for (const [index, [name, kind]] of fields.entries()) {
    const part = parts[index]
    if (part === undefined) throw new LatencyKeyError(key, `expected "${name}:…" as field ${index + 1} of ${type}, got the end of the key`)
    if (!part.startsWith(`${name}:`)) throw new LatencyKeyError(key, `expected "${name}:…" as field ${index + 1} of ${type}, got "${part}"`)
    const text = part.slice(name.length + 1)
    const shape = kind === 'shape' ? readShape(text) : null
    const number = kind === 'shape' || kind === 'activation' || kind === 'levels' ? null : numberReaders[kind](text)
    const levels = kind === 'levels' ? readLevels(text) : null
    const activation = kind === 'activation' ? activations.find((known) => known === text) : undefined
    if (shape) shapes.set(name, shape)
    else if (number !== null) numbers.set(name, number)
    else if (activation) names.set(name, activation)
    else if (levels) trees.set(name, levels)
    else throw new LatencyKeyError(key, `expected ${name} to be ${expectations[kind]}, got "${text}"`)
  }
  const surplus = parts[fields.length]
  if (surplus !== undefined) throw new LatencyKeyError(key, `expected ${fields.length} fields in ${type}, got another: "${surplus}"`)
  return {
    shape: (field) => shapes.get(field) as Shape,
    number: (field) => numbers.get(field) as number,
    flag: (field) => numbers.get(field) === 1,
    activation: (field) => names.get(field) as Activation,
    levels: (field) => trees.get(field) as readonly TreeLevelForm[],
  }
}

/** The operation that a key names. Throws LatencyKeyError for a key that is not of the grammar. */
function parseLatencyKey(key: string): LatencyOperation {
  const [type = '', ...parts] = key.split('-')
  if (!isType(type)) throw new LatencyKeyError(key, `expected a key that starts with ${Object.keys(grammar).join('-, ')}-, got "${type}"`)
  const values = readValues(key, type, parts, grammar[type])
  switch (type) {
    case 'Conv':
    case 'Conv_1':
    case 'ResidualBlock':
    case 'FactorizedReduce':
    case 'Add':
    case 'Concat':
      return { type, input: values.shape('input'), output: values.shape('output') }
    case 'Logits':
    case 'NormLogits':
      return { type, input: values.shape('input'), classes: values.number('output') }
    case 'Projection':
      return { type, input: values.shape('input'), output: values.shape('output'), stride: values.number('stride') }
    case 'ConvNorm':
    case 'ReluConvNorm':
    case 'SepConv':
    case 'DilConv':
    case 'AvgPool':
    case 'MaxPool':
    case 'PlainConv':
    case 'NormReluConv':
    case 'NormSepConv':
    case 'NormDilConv':
      return {
        type,
        input: values.shape('input'),
        output: values.shape('output'),
        kernel: values.number('kernel'),
        stride: values.number('stride'),
      }
    case 'expanded_conv':
      return {
        type,
        input: values.shape('input'),
        output: values.shape('output'),
        expand: values.number('expand'),
        kernel: values.number('kernel'),
        stride: values.number('stride'),
        shortcut: values.flag('idskip'),
      }
    case 'ConvActivation':
    case 'SplitDepthwise': {
      const convolution = {
        input: values.shape('input'),
        output: values.shape('output'),
        kernel: values.number('kernel'),
        stride: values.number('stride'),
        activation: values.activation('act'),
      }
      if (type === 'ConvActivation') return { type, ...convolution }
      return { type, ...convolution, splits: values.number('splits'), hidden: values.number('hidden') }
    }
    case 'ConvLinear':
      return { type, input: values.shape('input'), output: values.shape('output'), shortcut: values.flag('idskip') }
    case 'TreeBlock':
      return {
        type,
        input: values.shape('input'),
        output: values.shape('output'),
        width: values.number('width'),
        groups: values.number('groups'),
        levels: values.levels('tree'),
      }
    default:
      return type satisfies never
  }
}

/** What a table's entry is for. Throws LatencyKeyError for a key that is of no table's grammar. */
function parseTableKey(key: string): TableOperation {
  const [type = '', ...parts] = key.split('-')
  if (!isType(type)) {
    if (OTHER_KEY.test(key)) return { type: 'other', name: type }
    throw new LatencyKeyError(key, 'expected a type and fields such as Conv-input:224x224x3-output:112x112x32')
  }
  if (type !== 'expanded_conv' || !parts.some((part) => part.startsWith('se:'))) return parseLatencyKey(key)
  const values = readValues(key, type, parts, variantFields)
  return {
    type: 'expanded_conv with se and hs',
    input: values.shape('input'),
    output: values.shape('output'),
    expandedWidth: values.number('expand'),
    kernel: values.number('kernel'),
    stride: values.number('stride'),
    shortcut: values.flag('idskip'),
    squeezeExcite: values.flag('se'),
    hardSwish: values.flag('hs'),
  }
}

/**
 * The other name that a table may have for an operation: an expanded_conv without squeeze-and-excite and hard swish is the
 * same block in both grammars. Null where there is none.
 */
function variantKey(key: string): string | null {
  if (!key.startsWith('expanded_conv-')) return null
  const operation = parseLatencyKey(key)
  if (operation.type !== 'expanded_conv') return null
  const expandedWidth = operation.input[2] * operation.expand
  return `${latencyKey({ ...operation, expand: expandedWidth })}-se:0-hs:0`
}

export { LatencyKeyError, type Mbconv, parseLatencyKey, parseTableKey, type TableOperation, variantKey }
