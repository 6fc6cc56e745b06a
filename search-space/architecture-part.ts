import type { Shape } from './layer-graph.ts'

/** A part of an architecture, for people and other programs. */
type ArchitecturePart = {
  /** As the space calls the part: `stem`, `stage1.2`, `head`, … */
  readonly part: string
  /** `conv`, `zero`, `identity`, or the name of an operation such as `mb6k5` or `nor_conv_3x3`. */
  readonly operation: string
  readonly input?: Shape
  readonly output?: Shape
  /** Where the part is a convolution or an MBConv. */
  readonly kernel?: number
  readonly stride?: number
  readonly expansion?: number
  readonly shortcut?: boolean
  /** Multiply-accumulates for one image. */
  readonly macs: number
  readonly parameters: number
  /** Key of its entry in a latency table; null costs nothing. */
  readonly latencyKey: string | null
}

export type { ArchitecturePart }
