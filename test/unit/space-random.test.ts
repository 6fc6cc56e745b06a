import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRandom, type RandomState, randomStateSchema, seedState } from '../../search-space/index.ts'

const MASK = 0xffffffffn

/** xoshiro128** 1.1 as published (Blackman and Vigna, prng.di.unimi.it), in exact integers and nothing shared with ours. */
function* publishedWords(seed: RandomState): Generator<bigint> {
  const s = seed.map(BigInt) as [bigint, bigint, bigint, bigint]
  const rotate = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & MASK
  for (;;) {
    yield (rotate((s[1] * 5n) & MASK, 7n) * 9n) & MASK
    const t = (s[1] << 9n) & MASK
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotate(s[3], 11n)
  }
}

const states = fc
  .tuple(fc.nat({ max: 0xffffffff }), fc.nat({ max: 0xffffffff }), fc.nat({ max: 0xffffffff }), fc.nat({ max: 0xffffffff }))
  .filter((state) => state.some((word) => word !== 0))

describe('the generator', () => {
  it('is xoshiro128**, 53 bits of two words to a number', () => {
    fc.assert(
      fc.property(states, (state) => {
        const words = publishedWords(state)
        const next = () => words.next().value as bigint
        const random = createRandom(state)
        for (let i = 0; i < 20; i++) expect(random.uniform()).toBe(Number(((next() >> 5n) << 26n) | (next() >> 6n)) / 2 ** 53)
        expect(random.integer(1000)).toBe(Number((next() * 1000n) >> 32n))
      }),
    )
  })

  it('gives the published first words for the state 1, 2, 3, 4', () => {
    // The reference implementation's first outputs for this state.
    const random = createRandom([1, 2, 3, 4])
    expect([1, 2, 3, 4].map(() => random.integer(2 ** 32))).toEqual([11520, 0, 5927040, 70819200])
  })

  it('goes on where its state was taken, through JSON, whatever was drawn', () => {
    const draw = fc.constantFrom('uniform', 'normal', 'integer', 'weighted', 'shuffle')
    fc.assert(
      fc.property(states, fc.array(draw, { maxLength: 30 }), (state, draws) => {
        const random = createRandom(state)
        const run = (generator: typeof random) => ({
          uniform: () => generator.uniform(),
          normal: () => generator.normal(),
          integer: () => generator.integer(7),
          weighted: () => generator.weighted([1, 2, 3]),
          shuffle: () => generator.shuffle([1, 2, 3, 4, 5]).join(),
        })
        for (const kind of draws) run(random)[kind]()
        const resumed = createRandom(randomStateSchema.parse(JSON.parse(JSON.stringify(random.state()))))
        expect(draws.map((kind) => run(resumed)[kind]())).toEqual(draws.map((kind) => run(random)[kind]()))
        expect(resumed.state()).toEqual(random.state())
      }),
    )
  })

  it('draws indices by their weights, which need not sum to one, and never one of weight 0', () => {
    const random = createRandom(seedState('weighted', 1))
    const weights = [0, 6, 1, 0, 3]
    const draws = 100_000
    const counts = weights.map(() => 0)
    for (let i = 0; i < draws; i++) counts[random.weighted(weights)]! += 1
    for (const [index, weight] of weights.entries()) {
      const p = weight / 10
      // Five standard errors of a share.
      expect(Math.abs((counts[index] as number) / draws - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / draws))
    }
  })

  it('draws every integer below a bound equally often, and shuffles into every order equally often', () => {
    const random = createRandom(seedState('integers', 1))
    const draws = 60_000
    const integers = new Map<number, number>()
    const orders = new Map<string, number>()
    for (let i = 0; i < draws; i++) {
      const integer = random.integer(6)
      integers.set(integer, (integers.get(integer) ?? 0) + 1)
      const order = random.shuffle([0, 1, 2]).join()
      orders.set(order, (orders.get(order) ?? 0) + 1)
    }
    for (const counts of [integers, orders]) {
      expect(counts.size).toBe(6)
      for (const count of counts.values()) expect(Math.abs(count / draws - 1 / 6)).toBeLessThan(5 * Math.sqrt(5 / 36 / draws))
    }
  })

  it('starts at different states for different seeds and purposes', () => {
    const seen = new Set<string>()
    for (let seed = 0; seed < 2000; seed++) for (const purpose of ['weights', 'strategy']) seen.add(seedState(purpose, seed).join())
    expect(seen.size).toBe(4000)
    expect(seedState('a', 'b')).toEqual(seedState('a', 'b'))
    expect(seedState('a', 'b')).not.toEqual(seedState('ab'))
  })
})
