// Networks whose layers read several of the outputs before them (DenseNet: Huang et al. 2017, section 3; SparseNet: Zhu et al. 2018, section
// 3): 3×3 convolution, stages of units with transitions between them, batch-norm, ReLU, mean over each channel, classifier.
//
// A unit is batch-norm, ReLU and a 3×3 convolution, or, with a bottleneck, batch-norm, ReLU and a 1×1 convolution before these. It always
// reads the output just before it. Each further one is a decision: left out, added to the one just before, or concatenated with it,
//
//   unit_i = conv(ReLU(BN(concat(x_{i−1} + Σ_{j ∈ sum} x_j, x_j for j ∈ concat))))
//
// and the same for what follows a stage. DenseNet concatenates all of them, SparseNet those at distances 2, 4, 8, …, a residual network adds
// all. What is concatenated has weights of its own, what is added has none, so that costs are sums over decisions (parts.ts).

import { commaEncoding } from '../../encoding.ts'
import type { CostTerm, Decision, Space } from '../../space.ts'
import { measurablePlaces, partOf, type Place } from '../places.ts'
import type { AggregationConfig } from './config.ts'
import { aggregationEncoding } from './encoding.ts'
import { createLayout } from './layout.ts'
import { writeNetwork } from './network.ts'

/** Of a network that has nothing to choose. */
const WHOLE: readonly Decision[] = [{ name: 'network', where: 'all of it', options: [{ name: 'whole', isZero: false }] }]

/** Throws SpaceError `config` where settings contradict each other. */
function createAggregationSpace(config: AggregationConfig): Space {
  const layout = createLayout(config)
  const { plan, stem, head, readers, fixedOf, optionPlaces } = layout
  const { name, input, classes } = config
  const hasChoices = plan.decisions.length > 0
  const decisions = hasChoices ? plan.decisions : WHOLE

  /** By reader: what every network has there, and, decision by decision, what options add to it. */
  const places = readers.map((reader) => ({
    fixed: fixedOf(reader),
    chosen: reader.edges.flatMap((edge) =>
      edge.decision === null
        ? []
        : [{ decision: edge.decision, options: edge.options.map((aggregation) => optionPlaces(reader, edge, aggregation)) }],
    ),
  }))
  const chosen = places.flatMap((own) => own.chosen)
  const fixed: readonly Place[] = [stem, ...places.flatMap((own) => own.fixed), head]
  const supernet = [stem, ...places.flatMap((own) => [...own.fixed, ...own.chosen.flatMap(({ options }) => options.flat())]), head]

  const terms: CostTerm[] = [
    { decisions: [], parts: [fixed.map((place) => partOf(place))] },
    ...chosen.map(({ decision, options }) => ({ decisions: [decision], parts: options.map((own) => own.map((place) => partOf(place))) })),
  ]
  return {
    name,
    input,
    classes,
    decisions,
    terms,
    encoding: hasChoices ? aggregationEncoding(plan) : commaEncoding(WHOLE),
    weightSpecs: supernet.flatMap(({ write }) => write('input').weightSpecs),
    network: (choices) => writeNetwork(layout, decisions, input, choices),
    measurableOperations: () => measurablePlaces(supernet),
  }
}

export { createAggregationSpace }
