// How a choice of one decision becomes layers, for all families: the option by itself, or a mixed layer of several.

import type { MixedLayer, Shape } from '../layer-graph.ts'
import type { Choice } from '../space.ts'
import type { Written } from './part-writer.ts'

/** The options that a choice takes, the active one first. */
function optionsOf(choice: Choice): readonly [active: number, ...inactive: number[]] {
  return typeof choice === 'number' ? [choice] : [choice.active, ...choice.inactive]
}

/** The active option of each decision. */
function activePath(choices: readonly Choice[]): number[] {
  return choices.map((choice) => optionsOf(choice)[0])
}

/** A layer with a branch for each option; all of them read `input` and make `shape`. */
function mixedLayer(
  { id, input, block, shape }: { readonly id: string; readonly input: string; readonly block: number; readonly shape: Shape },
  options: readonly number[],
  write: (option: number) => Pick<Written, 'layers' | 'output'>,
): MixedLayer {
  const branches = options.map((operation) => {
    const { layers, output } = write(operation)
    return { operation, layers, output }
  })
  return { kind: 'mixed', id, input, block, active: 0, branches, shape }
}

export { activePath, mixedLayer, optionsOf }
