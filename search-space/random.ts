// A seeded generator whose whole state is four 32-bit words of plain JSON, so that a search can be stored,
// resumed and replayed: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled Linear Pseudorandom Number
// Generators", 2021), seeded by an FNV-1a hash spread by splitmix32.

import * as z from 'zod'

const word = z.int().min(0).max(0xffffffff)

/** The generator's state: four unsigned 32-bit words, not all zero. */
const randomStateSchema = z.tuple([word, word, word, word])
type RandomState = z.infer<typeof randomStateSchema>

type Random = {
  /** Uniform in [0, 1) with 53 bits. */
  uniform(): number
  /** Uniform integer in [0, bound). */
  integer(bound: number): number
  /** Standard normal (Box and Muller, 1958). */
  normal(): number
  /** Index drawn with the given weights, which need not sum to one. */
  weighted(weights: readonly number[]): number
  /** Shuffles in place (Fisher and Yates) and returns its argument. */
  shuffle<T extends { length: number; [index: number]: number }>(items: T): T
  state(): RandomState
}

const TWO_TO_32 = 4294967296

/** FNV-1a over the text's UTF-16 units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  }
  return hash >>> 0
}

/** State for a seed and a purpose; the same words always give the same state. */
function seedState(...parts: readonly (string | number)[]): RandomState {
  let mixed = hashText(parts.join('\u0000'))
  const next = () => {
    mixed = (mixed + 0x9e3779b9) | 0
    let t = mixed ^ (mixed >>> 16)
    t = Math.imul(t, 0x21f0aaad)
    t ^= t >>> 15
    t = Math.imul(t, 0x735a2d97)
    return (t ^ (t >>> 15)) >>> 0
  }
  const state: RandomState = [next(), next(), next(), next()]
  return state.every((part) => part === 0) ? [1, 0, 0, 0] : state
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/** A generator that goes on from `state`. */
function createRandom(state: RandomState): Random {
  let [s0, s1, s2, s3] = state
  const bits32 = () => {
    const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0
    const shifted = s1 << 9
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = rotateLeft(s3, 11)
    return result
  }
  const uniform = () => ((bits32() >>> 5) * 67108864 + (bits32() >>> 6)) / 9007199254740992
  const integer = (bound: number) => Math.floor((bits32() / TWO_TO_32) * bound)
  return {
    uniform,
    integer,
    normal() {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
      return radius * Math.cos(2 * Math.PI * uniform())
    },
    weighted(weights) {
      const total = weights.reduce((sum, weight) => sum + weight, 0)
      let left = uniform() * total
      for (const [index, weight] of weights.entries()) {
        left -= weight
        if (left < 0 && weight > 0) return index
      }
      return weights.findLastIndex((weight) => weight > 0)
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1)
        const held = items[i] as number
        items[i] = items[j] as number
        items[j] = held
      }
      return items
    },
    state: () => [s0 >>> 0, s1 >>> 0, s2 >>> 0, s3 >>> 0],
  }
}

export { createRandom, hashText, type Random, type RandomState, randomStateSchema, seedState }
