// What an agent knows of one weight: a state machine without network and without clock.
//
//   W   the local weight, kept by the caller; only training changes it, and `adopt` and `finish` here
//   M   the mirror: what the shard has as far as this agent knows, the agent's own differences included
//   D   an own difference: made by `finish`, contained in M from then on, in the shard once it is acknowledged
//
//   finish   T = share · (W − M − E) + E,  D = rounded(T),  M ← M + D,  E ← what M + D lacks of M + T
//   adopt    M' = P + all D that P does not contain,  W ← M' + (W − M),  M ← M'
//
// E is what rounding kept back. It is part of W − M and goes with the next difference: error feedback (Seide et al. 2014).
// With share 1, T = W − M and W is left alone, bit for bit; with less, W ← M + T, since the rest comes from others.
//
// Of a weight that networks read by parts, all of this is about the part that the task has trained: each element has a share of its own,
// and outside of the part D is 0, W and M stay, and E waits until the element is trained again.
//
// A velocity is not summed up but replaced, since it forgets: the last one to use an operation knows it best. So `adopt` leaves those
// elements alone that the task under way has used, and its difference makes the shard's what this agent has; others become the shard's.
//
// The shard counts versions: a pull of version v contains the pushes 1 to v and no others. So whether a pull contains an
// own difference needs no clock: an acknowledged one has its version, and one without acknowledgement is contained in no pull
// that has been answered, because pulls and pushes of one agent to one shard never overlap (weight-exchange.ts sees to that).

import type { PushResponse } from '../../protocol/index.ts'
import type { PulledTensor } from '../client/coordinator-client.ts'

/** Asks for a weight whatever its version. */
const ANY_VERSION = -1

/** What one task has learnt about one weight. */
type Difference = {
  /** Differences are numbered in the order in which tasks finish. */
  readonly ordinal: number
  /** Of the whole weight. */
  readonly values: Float32Array<ArrayBuffer>
  /** Shape of the part outside of which `values` are 0; null for the whole. */
  readonly part: readonly number[] | null
  /** Version that it was made from; one's own pushes that come in between raise it, since they are no staleness. */
  baseVersion: number
  /** Given up before it was sent, because the weight that it was made from was. */
  isDropped: boolean
}

/** An own push that the shard has and `version` of the mirror does not count. */
type Applied = { readonly version: number; readonly scale: number; readonly values: Float32Array }

type PulledWeight = PulledTensor & {
  /** How often the weight had been discarded when it was asked for. */
  readonly discards: number
}

/** A finished step that has not been taken yet: tasks finish for all their weights or for none. */
type Finish = {
  readonly difference: Difference
  /** What the local weight becomes, or null where it stays. */
  readonly local: Float32Array<ArrayBuffer> | null
  readonly isFinite: boolean
  commit(): void
}

/**
 * How much of what a task has learnt counts: 1 where nobody else trains the same at the same time. Of a weight that the task may have
 * trained in part, one number for each element, row-major of the whole, 0 outside of the part.
 */
type Share = number | { readonly part: readonly number[]; readonly ofElements: Float64Array }

type FinishOptions = {
  readonly ordinal: number
  readonly share: Share
  /** What the encoding of the wire keeps. */
  readonly round: (values: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer>
}

function addScaled(sum: Float32Array, scale: number, values: Float32Array): void {
  // As the shard does it: in double precision, rounded to float32.
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + scale * (values[i] as number)
}

class MirroredWeight {
  readonly #kind: 'weight' | 'velocity'
  /** The pushes 1 to `#version` are in the mirror. Version 0 is the start that every agent computes from the seed. */
  #version = 0
  /** Null before the first use and while the weight is discarded. */
  #mirror: Float32Array<ArrayBuffer> | null = null
  /** E; null where it is not worth its memory: float32 with share 1, where it is below a unit in W's last place. */
  #kept: Float32Array | null = null
  /** Made and not acknowledged, in the order in which they were made and are sent. */
  #open: Difference[] = []
  /** By version, all above `#version`. */
  #applied: Applied[] = []
  /** The mirror contains a difference that the shard will never have. */
  #isOff = false
  #isDiscarded = false
  #discards = 0
  /** `#discards` when the task under way began. */
  #begunAt: number | null = null
  /** Of a velocity, W when the task under way began, or when it was last adopted. */
  #unused: Float32Array | null = null

  constructor(kind: 'weight' | 'velocity' = 'weight') {
    this.#kind = kind
  }

  get discards(): number {
    return this.#discards
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded
  }

  /** Whether `adopt` needs to know W. */
  get isMirrored(): boolean {
    return this.#mirror !== null
  }

  /** The version to tell the shard when asking for a newer one. */
  get heldVersion(): number {
    return this.#isOff || this.#isDiscarded ? ANY_VERSION : this.#version
  }

  /** False for a pull that was overtaken: by a newer one, by own pushes, or by a discard. */
  accepts({ version, discards }: PulledWeight): boolean {
    if (discards !== this.#discards) return false
    return this.#isDiscarded || version > this.#version || (version === this.#version && this.#isOff)
  }

  /** Takes a pull in that `accepts` agreed to, W being `local` now; returns what W becomes, or null where it stays. */
  adopt({ values, version }: PulledWeight, local: Float32Array | null): Float32Array<ArrayBuffer> | null {
    const next = values.slice()
    this.#applied = this.#applied.filter((push) => push.version > version)
    for (const push of this.#applied) addScaled(next, push.scale, push.values)
    for (const difference of this.#open) addScaled(next, 1, difference.values)
    const before = this.#mirror
    this.#mirror = next
    this.#version = version
    this.#isOff = false
    this.#isDiscarded = false
    if (!before || !local) return next.slice()
    if (this.#kind === 'weight') return moved(local, before, next)
    this.#kept = null
    if (this.#begunAt === null) return next.slice()
    const unused = this.#unused
    if (!unused) return null
    const after = next.map((value, i) => (local[i] === unused[i] ? value : (local[i] as number)))
    this.#unused = unused.map((value, i) => (local[i] === value ? (next[i] as number) : value))
    return after
  }

  /** A task is about to change the weight; `read` gives W, which is version 0 of a weight before the first use. */
  async begin(read: () => Promise<Float32Array>): Promise<void> {
    if (this.#isDiscarded) throw new Error('a discarded weight has to be pulled before it is trained')
    this.#begunAt = this.#discards
    if (this.#mirror && this.#kind === 'weight') return
    const local = await read()
    if (this.#isDiscarded) return
    // Of velocities version 0 is zeros, whatever this agent has done without exchanging any.
    this.#mirror ??= this.#kind === 'weight' ? local.slice() : new Float32Array(local.length)
    this.#unused = this.#kind === 'weight' ? null : local.slice()
  }

  /** Whether what the task under way started from was discarded since. */
  endTask(): 'sound' | 'tainted' | 'not-begun' {
    const begunAt = this.#begunAt
    this.#begunAt = null
    this.#unused = null
    if (begunAt === null) return 'not-begun'
    return begunAt === this.#discards && this.#mirror ? 'sound' : 'tainted'
  }

  /** What a sound task has learnt, W being `local` now; nothing changes before `commit`. */
  finish(local: Float32Array, { ordinal, share, round }: FinishOptions): Finish {
    const before = this.#mirror
    if (!before) throw new Error('a weight was changed without begin()')
    const { length } = local
    const kept = this.#kept
    const shareOf = typeof share === 'number' ? () => share : (i: number) => share.ofElements[i] as number
    const isAll = share === 1
    const exact = new Float64Array(length)
    for (let i = 0; i < length; i++) {
      const own = shareOf(i)
      const keptBack = kept?.[i] ?? 0
      exact[i] = own === 0 ? 0 : own * ((local[i] as number) - (before[i] as number) - keptBack) + keptBack
    }
    const values = round(Float32Array.from(exact))
    const mirror = before.slice()
    addScaled(mirror, 1, values)
    const isShared = typeof share === 'number' ? !isAll : share.ofElements.some((own) => own !== 0 && own !== 1)
    const needsKept = isShared || (kept !== null && !isAll) || values.some((value, i) => value !== Math.fround(exact[i] as number))
    const nextKept = needsKept ? new Float32Array(length) : null
    const nextLocal = isAll ? null : new Float32Array(length)
    for (let i = 0; i < length; i++) {
      const own = shareOf(i)
      const target = (before[i] as number) + (exact[i] as number)
      if (nextKept) nextKept[i] = own === 0 ? (kept?.[i] ?? 0) : target - (mirror[i] as number)
      if (nextLocal) nextLocal[i] = own === 0 || own === 1 ? (local[i] as number) : target
    }
    // Pushes that the shard has beyond `#version` are others' as well as own ones; own ones are no staleness.
    const part = typeof share === 'number' ? null : share.part
    const difference: Difference = { ordinal, values, part, baseVersion: this.#version + this.#applied.length, isDropped: false }
    return {
      difference,
      local: nextLocal,
      isFinite: mirror.every((value) => Number.isFinite(value)) && values.every((value) => Number.isFinite(value)),
      commit: () => {
        this.#mirror = mirror
        this.#kept = nextKept
        this.#open.push(difference)
      },
    }
  }

  /** The shard has answered a push of `difference`. */
  acknowledge(key: string, difference: Difference, answer: PushResponse): void {
    this.#open = this.#open.filter((other) => other !== difference)
    if (answer.kind === 'duplicate') {
      // Somebody else's delivery of the task counted, and the mirror contains what the shard does not.
      this.#isOff = !this.#isDiscarded
      return
    }
    for (const other of this.#open) other.baseVersion += 1
    // One that was scaled, or that came after others' pushes, is for the next pull to put right: the shard has newer versions.
    const version = answer.versions[key] ?? ANY_VERSION
    const scale = answer.scales[key] ?? 1
    const isNext = version === this.#version + 1 && this.#applied.length === 0
    if (scale === 1 && isNext && !this.#isOff && !this.#isDiscarded) this.#version = version
    else this.#applied.push({ version, scale, values: difference.values })
  }

  /**
   * Gives W up: it must be pulled before it is used again. Open differences are still to be sent, except those numbered
   * `since` and above: they were made from what is wrong.
   */
  discard(since: number): void {
    this.#mirror = null
    this.#kept = null
    // Whatever is pulled from now on contains them.
    this.#applied = []
    this.#isOff = false
    this.#isDiscarded = true
    this.#discards += 1
    for (const difference of this.#open) difference.isDropped = difference.ordinal >= since
    this.#open = this.#open.filter((difference) => !difference.isDropped)
  }
}

/** W + (after − before), or null where nothing moves. An element whose mirror stays keeps its bits. */
function moved(local: Float32Array, before: Float32Array, after: Float32Array): Float32Array<ArrayBuffer> | null {
  let result: Float32Array<ArrayBuffer> | null = null
  for (let i = 0; i < local.length; i++) {
    if (before[i] === after[i]) continue
    result ??= local.slice()
    result[i] = (after[i] as number) + ((local[i] as number) - (before[i] as number))
  }
  return result
}

export { type Difference, type Finish, MirroredWeight, type PulledWeight, type Share }
