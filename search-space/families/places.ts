// What a family writes at one place of a network, before it is known where its input comes from: the same piece is a part with its costs,
// layers of a network and an operation to be measured.

import { elementCount } from '../initialise.ts'
import { latencyKey, type LatencyOperation } from '../latency-key.ts'
import { totalCosts } from '../layer-costs.ts'
import type { Layer, PrimitiveLayer, Shape } from '../layer-graph.ts'
import type { MeasurableOperation, Part } from '../space.ts'
import type { Written } from './part-writer.ts'

type Place = {
  readonly name: string
  readonly operation: string
  readonly from: Shape
  readonly key: LatencyOperation | null
  write(input: string): Written
}

/** Multiply-accumulates of layers that read `input`, of the shape `from`. */
type CountMacs = (layers: readonly PrimitiveLayer[], from: Shape) => number

const INPUT = 'input'
const countAll: CountMacs = (layers, from) => totalCosts(layers, new Map([[INPUT, from]])).macs

/** @param countMacs as the family's authors count, where they do it in another way than layers/ */
function partOf({ name, operation, from, key, write }: Place, countMacs = countAll): Part {
  const { layers, weightSpecs } = write(INPUT)
  return {
    name,
    operation,
    latencyKey: key && latencyKey(key),
    macs: countMacs(layers, from),
    parameters: weightSpecs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
  }
}

/** Each key once. */
function measurablePlaces(places: readonly Place[], countMacs = countAll): MeasurableOperation[] {
  const byKey = new Map<string, MeasurableOperation>()
  for (const place of places) {
    const { latencyKey: key, macs, parameters } = partOf(place, countMacs)
    if (key === null || byKey.has(key)) continue
    const layers: Layer[] = [{ kind: 'input', id: INPUT, shape: place.from }, ...place.write(INPUT).layers]
    byKey.set(key, { latencyKey: key, graph: { layers }, macs, parameters })
  }
  return [...byKey.values()]
}

export { measurablePlaces, partOf, type Place }
