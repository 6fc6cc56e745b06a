// Paths by strict fairness: the n options of a decision take turns, so that each is used once in n steps, in an order drawn anew for every n.
// FairNAS (Chu et al. 2021) adds the gradients of its n paths up; here each path has a step of the optimiser, so that n times as many steps
// are taken on as many images. What a step uses follows from its number: a training that was broken off goes on with the same paths.

import { createRandom, seedState, type Space } from '../search-space/index.ts'

function fairOption(options: number, decision: number, step: number, seed: number): number {
  const turns = createRandom(seedState('fair', seed, decision, Math.floor(step / options)))
  return turns.shuffle(Array.from({ length: options }, (_, option) => option))[step % options] as number
}

/** The path of a weight step, counted from 0. */
function fairPath({ decisions }: Pick<Space, 'decisions'>, step: number, seed: number): number[] {
  return decisions.map(({ options }, decision) => fairOption(options.length, decision, step, seed))
}

export { fairPath }
