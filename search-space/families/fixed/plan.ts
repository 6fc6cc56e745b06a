// A fixed network as a plan: one operation at each place.

import { SpaceError } from '../../space.ts'
import { choiceOf, convolve, type NetworkPlan, type Place } from '../mbconv/plan.ts'
import type { FixedNetwork } from './config.ts'

/** Throws SpaceError `config` where settings contradict each other. */
function planFixed(config: FixedNetwork): NetworkPlan {
  let input = convolve(config.input, config.stem.stride, config.stem.width)
  const places = config.blocks.map((block, index): Place => {
    const name = `block${index + 1}`
    if (block === 'zero') return { name, input, output: input, stride: 1, shortcut: true, candidates: [choiceOf(block, true)] }
    const { stride, width } = block
    const from = input
    const fits = stride === 1 && from[2] === width
    const shortcut = 'operation' in block ? fits : (block.shortcut ?? fits)
    if (shortcut && !fits) {
      throw new SpaceError(
        'config',
        `space.blocks[${index}].shortcut`,
        `expected no shortcut from ${from[2]} to ${width} channels at stride ${stride}`,
      )
    }
    input = convolve(from, stride, width)
    const option = 'operation' in block ? block.operation : block
    return { name, input: from, output: input, stride, shortcut, candidates: [choiceOf(option, fits)] }
  })
  const { name, classes, stem, headWidth, batchNormEpsilon } = config
  return { name, input: config.input, classes, epsilon: batchNormEpsilon, stem, first: null, places, headWidth }
}

export { planFixed }
