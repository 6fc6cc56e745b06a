// Numbers by which another implementation of an agent can tell that it computes the same: computed here by the code
// that agents run, so that docs/protocol.md cannot be wrong about them.

import { type Path, createRandom, createSpace, initialWeights, type RandomState, seedState, type SpaceRef } from '../search-space/index.ts'
import { planShards } from '../protocol/index.ts'
import { batchIndices, splitShares } from '../engine/datasets/index.ts'
import { renderCode, renderMarkdownTable } from './markdown.ts'

const SEED = 1
const TRAIN_IMAGES = 60_000
const BATCH_SIZE = 64
const SHOWN = 5
const SHARD_BYTES = 1024

/** Two blocks: all settings given, so that no change of a preset changes these numbers. */
const EXAMPLE_SPACE = {
  name: 'example',
  input: [8, 8, 1],
  classes: 4,
  widthMult: 1,
  stem: { width: 8, stride: 1 },
  firstBlock: null,
  stages: [{ width: 8, cells: 2, stride: 1 }],
  kernels: [3, 5],
  expansions: [2],
  zero: true,
  headWidth: null,
  batchNormEpsilon: 1e-3,
} satisfies SpaceRef
/** The second operation of the first block, Zero in the second. */
const EXAMPLE_PATH: Path = [1, 2]

const hexadecimal = (state: RandomState) => state.map((word) => `0x${word.toString(16).padStart(8, '0')}`).join(' ')
const listed = (numbers: Iterable<number>) => [...numbers].slice(0, SHOWN).join(', ')
/** Nine digits tell any two float32 apart. */
const printFloat32 = (value: number) => String(Number(value.toPrecision(9)))
const code = (text: string) => `\`${text}\``

function generatorTable(): string {
  const drawn = (draw: (random: ReturnType<typeof createRandom>) => number, count: number): string => {
    const random = createRandom([1, 2, 3, 4])
    return Array.from({ length: count }, () => draw(random)).join(', ')
  }
  const shuffled = createRandom([1, 2, 3, 4]).shuffle(Uint32Array.from({ length: 10 }, (_, index) => index))
  return renderMarkdownTable(
    ['generator at state 1 2 3 4', 'gives'],
    [
      ['`uniform()` three times', drawn((random) => random.uniform(), 3)],
      ['`integer(10)` eight times', drawn((random) => random.integer(10), 8)],
      ['`normal()` twice', drawn((random) => random.normal(), 2)],
      ['`shuffle` of 0 to 9', shuffled.join(' ')],
    ],
  )
}

function seedTable(): string {
  const states: (readonly (string | number)[])[] = [
    ['weights', SEED, 'stem/conv/conv.filter'],
    ['shares', SEED],
    ['epoch', `weights/${SEED}`, 0],
    ['epoch', `architecture/${SEED}`, 0],
    ['augmentation', SEED, 0],
  ]
  return renderMarkdownTable(
    ['state for', 'four words'],
    states.map((parts) => [code(JSON.stringify(parts)), code(hexadecimal(seedState(...parts)))]),
  )
}

function weightsTable(): string {
  const space = createSpace(EXAMPLE_SPACE)
  const plan = planShards(space, SHARD_BYTES)
  return renderMarkdownTable(
    ['weight key, in the order of the space', 'shape', 'shard', 'first values at seed 1'],
    space.weightSpecs.map((spec) => [
      code(spec.key),
      spec.shape.join('×'),
      String(plan.shardOf.get(spec.key)),
      Array.from(initialWeights(spec, SEED).slice(0, 3), printFloat32).join(', '),
    ]),
  )
}

function batchTable(): string {
  const shares = splitShares(TRAIN_IMAGES, SEED, { weights: 0.7, architecture: 0.2, validation: 0.1 })
  const perEpoch = Math.floor(shares.weights.length / BATCH_SIZE)
  const batch = (share: Uint32Array, step: number, seed: string) => listed(batchIndices(share, BATCH_SIZE, step, seed))
  const random = createRandom(seedState('augmentation', SEED, 0))
  const moves = Array.from({ length: SHOWN }, () => {
    const mirrored = random.uniform() < 0.5
    return `${mirrored ? 'mirrored' : 'as it is'} ${random.integer(5) - 2} ${random.integer(5) - 2}`
  })
  return renderMarkdownTable(
    [`of ${TRAIN_IMAGES} images at seed ${SEED}, shares 0.7, 0.2 and 0.1, batches of ${BATCH_SIZE}`, 'first indices'],
    [
      [`weight share (${shares.weights.length} images)`, listed(shares.weights)],
      [`architecture share (${shares.architecture.length})`, listed(shares.architecture)],
      [`validation share (${shares.validation.length})`, listed(shares.validation)],
      ['mini-batch of weight step 0', batch(shares.weights, 0, `weights/${SEED}`)],
      ['mini-batch of weight step 1', batch(shares.weights, 1, `weights/${SEED}`)],
      [`mini-batch of weight step ${perEpoch}, the first of the second epoch`, batch(shares.weights, perEpoch, `weights/${SEED}`)],
      ['mini-batch of architecture step 0', batch(shares.architecture, 0, `architecture/${SEED}`)],
      ['weight step 0, `flip` and `shift` 2: first images, moved down and across', moves.join('; ')],
    ],
  )
}

function graphText(): string {
  const { layers } = createSpace(EXAMPLE_SPACE).network(EXAMPLE_PATH)
  return layers.map((layer) => JSON.stringify(layer)).join('\n')
}

function renderKnownAnswers(): string {
  return [
    'All of these come from the code that the agents of this project run.',
    '',
    generatorTable(),
    '',
    seedTable(),
    '',
    'The space of the following table and graph, cut into shards of at most 1024 bytes:',
    '',
    renderCode(JSON.stringify(EXAMPLE_SPACE), 'json'),
    '',
    weightsTable(),
    '',
    `Its layer graph for the path ${code(JSON.stringify(EXAMPLE_PATH))}, one layer a line; the second block is Zero and left out:`,
    '',
    renderCode(graphText(), 'json'),
    '',
    batchTable(),
    '',
  ].join('\n')
}

export { renderKnownAnswers }
