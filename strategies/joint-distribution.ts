// A distribution over architectures whose decisions are taken one by one, or some of them together: one row of alpha for each group of
// decisions,
//
//   p(A) = Π_g softmax(alpha_g)[a],   a the combination of options that A has for the decisions of group g
//
// Groups of one decision each are the factorised distribution, with which every search begins. FP-NAS (Yan et al. 2021, section 3.1) goes
// on with a joint one, which takes over what was learnt exactly:
//
//   alpha_g[a_1 … a_M] = Σ_m log p_m(a_m)

import { invalidField, MAX_ALPHA } from '../protocol/index.ts'
import { combinationAt, combinationIndex, type Random, type Space } from '../search-space/index.ts'
import { argmax, entropy, logSumExp, softmax } from './distribution.ts'
import type { Part } from './parts.ts'

/** Combinations of all groups together: with Adam's moments some 60 bytes each in one row of storage. */
const MAX_COMBINATIONS = 16_384

type Decisions = Pick<Space, 'decisions'>
/** Without `groups`, each row of alpha is one decision's. */
type Rows = { readonly alpha: readonly (readonly number[])[]; readonly groups?: readonly (readonly number[])[] | undefined }

type Group = {
  /** Indices, ascending. */
  readonly decisions: readonly number[]
  readonly counts: readonly number[]
  /** Of the combinations, those of the last decision's options counting fastest. */
  readonly probabilities: readonly number[]
}

function groupsOf({ alpha, groups }: Rows, { decisions }: Decisions): Group[] {
  return alpha.map((row, index) => {
    const group = groups?.[index] ?? [index]
    return { decisions: group, counts: group.map((decision) => decisions[decision]?.options.length ?? 0), probabilities: softmax(row) }
  })
}

/** A path that has for each group what `pick` says, the index of a combination. */
function pathOf(groups: readonly Group[], pick: (group: Group) => number): number[] {
  const path: number[] = []
  for (const group of groups) {
    for (const [position, option] of combinationAt(group.counts, pick(group)).entries()) path[group.decisions[position] as number] = option
  }
  return path
}

/** The combination of each group that a path has. */
function combinationsOf(groups: readonly Group[], path: readonly number[]): number[] {
  return groups.map(({ decisions, counts }) =>
    combinationIndex(
      counts,
      decisions.map((decision) => path[decision] as number),
    ),
  )
}

/** The path that has these combinations, one of each group. */
function pathOfCombinations(groups: readonly Group[], combinations: readonly number[]): number[] {
  return pathOf(groups, (group) => combinations[groups.indexOf(group)] as number)
}

function drawArchitecture(groups: readonly Group[], random: Random): number[] {
  return pathOf(groups, ({ probabilities }) => random.weighted(probabilities))
}

function mostProbable(groups: readonly Group[]): number[] {
  return pathOf(groups, ({ probabilities }) => argmax(probabilities))
}

/** Of the options of each decision by itself. */
function marginals(groups: readonly Group[], { decisions }: Decisions): number[][] {
  const rows = decisions.map(({ options }) => options.map(() => 0))
  for (const { decisions: own, counts, probabilities } of groups) {
    for (const [combination, p] of probabilities.entries()) {
      for (const [position, option] of combinationAt(counts, combination).entries()) {
        const row = rows[own[position] as number] as number[]
        row[option] = (row[option] as number) + p
      }
    }
  }
  return rows
}

/** What an architecture may be derived from: the groups, or where the space's authors leave options out, its decisions one by one without them. */
function derivableGroups(groups: readonly Group[], space: Space): readonly Group[] {
  if (!space.derivable) return groups
  return space.derivable(marginals(groups, space)).map((probabilities, decision) => {
    return { decisions: [decision], counts: [probabilities.length], probabilities }
  })
}

/** Nats, of all groups together. */
function totalEntropy(groups: readonly Group[]): number {
  return groups.reduce((sum, { probabilities }) => sum + entropy(probabilities), 0)
}

/** A path within a part of the operations (parts.ts): each combination as likely as it is among those of the part. */
function drawWithin(groups: readonly Group[], part: Part, random: Random): number[] {
  return pathOf(groups, ({ decisions, counts, probabilities }) => {
    const allowed = decisions.map((decision) => new Set(part[decision]?.operations))
    const weights = probabilities.map((p, combination) =>
      combinationAt(counts, combination).every((option, position) => allowed[position]?.has(option)) ? p : 0,
    )
    return random.weighted(weights)
  })
}

/** Decisions whose names differ after their last dot alone: the variables of a block, the edges into a node, the blocks of a stage. */
function decisionsByPlace({ decisions }: Decisions): number[][] {
  const places = new Map<string, number[]>()
  for (const [index, { name }] of decisions.entries()) {
    const dot = name.lastIndexOf('.')
    const place = dot === -1 ? name : name.slice(0, dot)
    places.set(place, [...(places.get(place) ?? []), index])
  }
  return [...places.values()]
}

/**
 * Those groups as a joint distribution has them. Throws ProblemError `invalid-request`, which names `field`, where that leaves every
 * decision by itself, or makes too many combinations.
 */
function groupsByPlace({ decisions }: Decisions, field: string): number[][] {
  const groups = decisionsByPlace({ decisions })
  if (groups.every(({ length }) => length === 1)) {
    throw invalidField(field, 'expected a space with decisions of one place, which differ after the last dot of their names alone')
  }
  const combinations = groups.reduce(
    (sum, group) => sum + group.reduce((product, decision) => product * (decisions[decision]?.options.length ?? 1), 1),
    0,
  )
  if (combinations <= MAX_COMBINATIONS) return groups
  throw invalidField(field, `expected a space with at most ${MAX_COMBINATIONS} combinations of options of one place, got ${combinations}`)
}

/** Alpha of groups from that of single decisions: the same distribution, to what float64 holds. */
function joinAlpha(alpha: readonly (readonly number[])[], groups: readonly (readonly number[])[]): number[][] {
  const logs = alpha.map((row) => {
    const total = logSumExp(row)
    return row.map((value) => value - total)
  })
  return groups.map((group) => {
    const rows = group.map((decision) => logs[decision] as number[])
    const counts = rows.map(({ length }) => length)
    const combinations = counts.reduce((product, count) => product * count, 1)
    return Array.from({ length: combinations }, (_, combination) => {
      const sum = combinationAt(counts, combination).reduce((total, option, position) => total + (rows[position]?.[option] as number), 0)
      return Math.max(-MAX_ALPHA, sum)
    })
  })
}

export {
  combinationsOf,
  decisionsByPlace,
  derivableGroups,
  drawArchitecture,
  drawWithin,
  type Group,
  groupsByPlace,
  groupsOf,
  joinAlpha,
  marginals,
  mostProbable,
  pathOfCombinations,
  totalEntropy,
}
