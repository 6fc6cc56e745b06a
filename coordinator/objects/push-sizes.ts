// How large differences usually are, on one shard: of each push the largest one of its tensors, compared with the tensor itself, since filters
// and biases are of different sizes. Kept with the task that it is of, so that a push writes no row more.

import { isVelocityKey } from '../../protocol/index.ts'
import { KEPT_SIZES, largestUsual, type RecentSizes, rootMeanSquare, withSize } from '../../rules/usual-size.ts'

/** `floor`: what a tensor is taken for that is smaller, as biases and velocities are at first. Sizes are multiples of tensors. */
const kinds = {
  weight: { column: 'size', floor: 0.1, expected: 1, least: 0.05 },
  velocity: { column: 'velocity_size', floor: 1, expected: 10, least: 0.05 },
} as const
type Kind = keyof typeof kinds

/** What one push was, as far as sizes go; null where it had no tensor of the kind. */
type PushedSizes = Record<Kind, number | null>

type PushSizes = {
  /** The factor that brings a tensor's difference within what is usual, 1 or less; `pushed` takes its size in. */
  clip(key: string, difference: Float32Array, tensor: Float32Array, pushed: PushedSizes): number
  /** Once the push is stored. */
  add(pushed: PushedSizes): void
}

function readSizes(sql: SqlStorage, column: string): number[] {
  const rows = sql.exec<{ size: number }>(
    `SELECT ${column} AS size FROM applied WHERE ${column} IS NOT NULL ORDER BY task_id DESC LIMIT ?`,
    KEPT_SIZES,
  )
  return rows
    .toArray()
    .map(({ size }) => size)
    .toReversed()
}

function createPushSizes(sql: SqlStorage): PushSizes {
  const recent: Record<Kind, RecentSizes> = { weight: readSizes(sql, kinds.weight.column), velocity: readSizes(sql, kinds.velocity.column) }
  return {
    clip(key, difference, tensor, pushed) {
      const kind: Kind = isVelocityKey(key) ? 'velocity' : 'weight'
      const size = rootMeanSquare(difference) / (rootMeanSquare(tensor) + kinds[kind].floor)
      pushed[kind] = Math.max(pushed[kind] ?? 0, size)
      return Math.min(1, largestUsual(recent[kind], kinds[kind]) / size)
    },
    add(pushed) {
      for (const kind of ['weight', 'velocity'] as const) {
        const size = pushed[kind]
        if (size !== null) recent[kind] = withSize(recent[kind], size)
      }
    },
  }
}

export { createPushSizes, type PushedSizes, type PushSizes }
