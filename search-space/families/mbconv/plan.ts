// What the settings of a space come to: a stem, places that each offer MBConvs, Zero or Identity, a head. Whoever builds layers
// knows only plans: those of stages, made here, and those of fixed networks.

import type { Shape } from '../../layer-graph.ts'
import { MAX_BLOCKS, MAX_OPERATIONS, type MbconvConfig, type MbconvOption } from './config.ts'
import { SpaceError } from '../../space.ts'

/** Side of the first convolution. */
const STEM_KERNEL = 3
const WIDTH_DIVISOR = 8
/** Rounding may take away at most this share of a width (MobileNetV2's authors' rule). */
const MIN_WIDTH_SHARE = 0.9

/** What comes before the slash and the tensor's name in the weight keys of the parts that every architecture has. */
const FIXED_PREFIXES = { stem: 'stem/conv', first: 'first/conv', head: 'head/conv', classifier: 'classifier/conv' } as const

type MbconvChoice =
  | { readonly kind: 'mbconv'; readonly name: string; readonly expansion: number; readonly kernel: number }
  /** The block's shortcut alone. */
  | { readonly kind: 'skip'; readonly name: 'zero' | 'identity' }
  /** Identity where stride or width change: 1×1 convolution with the block's stride, and batch-norm. */
  | { readonly kind: 'projection'; readonly name: 'identity' }

type Place = {
  readonly name: string
  readonly input: Shape
  readonly output: Shape
  readonly stride: number
  readonly shortcut: boolean
  readonly candidates: readonly MbconvChoice[]
}

type NetworkPlan = {
  readonly name: string
  readonly input: Shape
  readonly classes: number
  readonly epsilon: number
  readonly stem: { readonly width: number; readonly stride: number }
  /** A fixed MBConv with expansion 1 behind the stem. */
  readonly first: { readonly width: number; readonly kernel: number } | null
  readonly places: readonly Place[]
  readonly headWidth: number | null
}

/** Width times multiplier, to the nearest multiple of 8, never below 8 nor more than a tenth smaller than asked. */
function scaleWidth(width: number, widthMult: number): number {
  if (widthMult === 1) return width
  const exact = width * widthMult
  const rounded = Math.max(WIDTH_DIVISOR, Math.floor((exact + WIDTH_DIVISOR / 2) / WIDTH_DIVISOR) * WIDTH_DIVISOR)
  return rounded < MIN_WIDTH_SHARE * exact ? rounded + WIDTH_DIVISOR : rounded
}

/** Output of a convolution padded by half its kernel on every side. */
function convolve(shape: Shape, stride: number, channels: number): Shape {
  return [Math.ceil(shape[0] / stride), Math.ceil(shape[1] / stride), channels]
}

/** What an option is at a place whose stride is 1 and whose channels match, or at another one. */
function choiceOf(option: MbconvOption, fits: boolean): MbconvChoice {
  if (option === 'zero') return { kind: 'skip', name: option }
  if (option === 'identity') return { kind: fits ? 'skip' : 'projection', name: option }
  const { expansion, kernel } = option
  return { kind: 'mbconv', name: `mb${expansion}k${kernel}`, expansion, kernel }
}

function optionsOf(config: MbconvConfig): readonly MbconvOption[] {
  if ('operations' in config) return config.operations
  const mbconvs = config.expansions.flatMap((expansion) => config.kernels.map((kernel) => ({ expansion, kernel })))
  return config.zero ? [...mbconvs, 'zero'] : mbconvs
}

function requireDifferent(field: string, values: readonly (string | number)[]): void {
  if (new Set(values).size === values.length) return
  throw new SpaceError('config', `space.${field}`, `expected different ${field}, got ${values.join(', ')}`)
}

function checkChoices(config: MbconvConfig): void {
  if ('operations' in config) {
    requireDifferent(
      'operations',
      config.operations.map((option) => choiceOf(option, true).name),
    )
  } else {
    requireDifferent('kernels', config.kernels)
    requireDifferent('expansions', config.expansions)
  }
  const blockCount = config.stages.reduce((sum, stage) => sum + stage.cells, 0)
  if (blockCount > MAX_BLOCKS) throw new SpaceError('config', 'space.stages', `expected at most ${MAX_BLOCKS} blocks, got ${blockCount}`)
  const operationCount = blockCount * optionsOf(config).filter((option) => option !== 'zero').length
  if (operationCount > MAX_OPERATIONS) {
    throw new SpaceError('config', 'space', `expected at most ${MAX_OPERATIONS} operations over all blocks, got ${operationCount}`)
  }
}

/** Throws SpaceError `config` where settings contradict each other. */
function planStages(config: MbconvConfig): NetworkPlan {
  checkChoices(config)
  const scaled = (width: number) => scaleWidth(width, config.widthMult)
  const stem = { width: scaled(config.stem.width), stride: config.stem.stride }
  const first = config.firstBlock && { width: scaled(config.firstBlock.width), kernel: config.firstBlock.kernel }
  const options = optionsOf(config)
  const places: Place[] = []
  let input = convolve(config.input, stem.stride, (first ?? stem).width)
  for (const [stageIndex, stage] of config.stages.entries()) {
    const channels = scaled(stage.width)
    for (let cell = 0; cell < stage.cells; cell++) {
      const stride = cell === 0 ? stage.stride : 1
      const output = convolve(input, stride, channels)
      const shortcut = stride === 1 && input[2] === channels
      const name = `stage${stageIndex + 1}.${cell + 1}`
      const candidates = options.filter((option) => shortcut || option !== 'zero').map((option) => choiceOf(option, shortcut))
      if (candidates.length === 0) {
        throw new SpaceError('config', 'space.operations', `expected more than zero, which block ${name} without a shortcut cannot be`)
      }
      places.push({ name, input, output, stride, shortcut, candidates })
      input = output
    }
  }
  return {
    name: config.name,
    input: config.input,
    classes: config.classes,
    epsilon: config.batchNormEpsilon,
    stem,
    first,
    places,
    // The head keeps its published width for multipliers below one (MobileNetV2, section 6.1).
    headWidth: config.headWidth === null ? null : scaleWidth(config.headWidth, Math.max(1, config.widthMult)),
  }
}

export { choiceOf, convolve, FIXED_PREFIXES, type MbconvChoice, type NetworkPlan, type Place, planStages, scaleWidth, STEM_KERNEL }
