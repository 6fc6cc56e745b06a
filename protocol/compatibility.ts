// What agents and coordinators of different versions know of each other. An agent says at its registration which protocol it
// speaks and which kinds of task it knows, each with the version of its form; it is handed no others.
//
// PROTOCOL is raised when calls change so that those who speak the one before would go wrong; a new field of an answer does
// not raise it, since clients ignore fields that they do not know. The version of a kind of task is raised when its work has
// a field that must not be ignored: neededVersion says which works need it.

import * as z from 'zod'
import { ProblemError } from './problem.ts'
import { hasLaterFields, type Recipe } from './recipe.ts'
import type { TrainingConfig } from './search-config.ts'
import type { TaskKind, TaskWork } from './tasks/index.ts'
import { VERSION } from './version.ts'

/** What agents of this version speak. */
const PROTOCOL = 1
/** What coordinators of this version speak. 0: version 0.1.0, whose agents do not say what they know. */
const spokenProtocols: readonly number[] = [0, PROTOCOL]

/** Kinds of task with the version of their form. */
const taskKinds = {
  /** 2: lanes, schedule and round; 3: samples; 4: trained; 5: consistency; 6: smaller images, which its search wants of all kinds. */
  trainWeights: 6,
  trainMixtures: 1,
  gateGradients: 1,
  mixtureGradients: 1,
  /** 2: batches. */
  evaluatePaths: 2,
  batchNormScales: 1,
  score: 1,
  /**
   * 1: a training from scratch by itself; 2: also as a task of a search; 3: recipes with fields that version 0.1.0 lacks; 4: for some of
   * its epochs; 5: from the weights of another trial, and with a checkpoint for others at its end.
   */
  trainArchitecture: 5,
} as const satisfies Record<TaskKind, number>
type KindName = keyof typeof taskKinds
type KnownKinds = Readonly<Record<string, number>>
type Needed = { readonly kind: KindName; readonly version: number }

/** What agents of protocol 0 know. */
const kindsOfProtocol0: KnownKinds = { trainWeights: 1, gateGradients: 1, evaluatePaths: 1, trainArchitecture: 1 }

const MAX_KIND_NAME = 64
const MAX_KINDS = 256

/** Fields of a registration. */
const compatibilityFields = {
  protocol: z.int().min(0).optional().describe('version of this protocol that the agent speaks; left out: 0, that of version 0.1.0'),
  kinds: z
    .record(z.string().min(1).max(MAX_KIND_NAME), z.int().min(1))
    .refine((kinds) => Object.keys(kinds).length <= MAX_KINDS, { message: `expected at most ${MAX_KINDS} kinds` })
    .optional()
    .describe('kinds of task that the agent knows, each with the highest version of its form; left out: those of version 0.1.0'),
}

/** What an agent knows, by its registration. */
function knownKinds({ kinds }: { readonly kinds?: KnownKinds | undefined }): KnownKinds {
  return kinds ?? kindsOfProtocol0
}

/** Version of `trainArchitecture` that a training by itself needs. */
function trainingVersion(recipe: Recipe): number {
  return hasLaterFields(recipe) ? 3 : 1
}

/** Version of its kind that a piece of work needs. */
function neededVersion(work: TaskWork): number {
  if (work.kind === 'evaluatePaths') return work.batches ? 2 : 1
  if (work.kind === 'trainArchitecture' && (work.isParent || typeof work.start !== 'string')) return 5
  if (work.kind === 'trainArchitecture') return work.epochs === undefined ? Math.max(2, trainingVersion(work.recipe)) : 4
  if (work.kind !== 'trainWeights') return 1
  if (work.consistency) return 5
  if (work.trained) return 4
  if (work.samples) return 3
  return (work.lanes ?? work.schedule ?? work.round) ? 2 : 1
}

/** Kinds, each with a version, all of which an agent has to know for a piece of work of a search with such settings. */
function neededKinds(work: TaskWork, { reducedResolution }: Pick<TrainingConfig, 'reducedResolution'>): Needed[] {
  const own = { kind: work.kind, version: neededVersion(work) }
  return reducedResolution ? [own, { kind: 'trainWeights', version: 6 }] : [own]
}

function understands(kinds: KnownKinds, kind: KindName, version: number): boolean {
  return (kinds[kind] ?? 0) >= version
}

/** What an agent is told that cannot do any of the work there is. `conflict` ends agents of every version. */
function unknownKind(agentName: string, kinds: KnownKinds, kind: KindName, version: number): ProblemError {
  const known = kinds[kind] === undefined ? 'does not know it' : `knows version ${kinds[kind]}`
  return new ProblemError(
    'conflict',
    `the next task is of kind ${kind}, version ${version}, and agent ${agentName} ${known}: start it anew with version ${VERSION}, that of the coordinator`,
    [{ path: `kinds.${kind}`, message: `expected ${version} or more` }],
  )
}

/** Throws ProblemError `version-mismatch` for an agent of a protocol that this version does not speak. */
function checkProtocol(protocol: number): void {
  if (spokenProtocols.includes(protocol)) return
  const spoken = spokenProtocols.join(' and ')
  const advice = protocol > PROTOCOL ? 'deploy a newer coordinator, or start an agent of this version' : 'start an agent of this version'
  throw new ProblemError(
    'version-mismatch',
    `this agent speaks protocol ${protocol}, and this coordinator, version ${VERSION}, speaks ${spoken}: ${advice}`,
    [{ path: 'protocol', message: `expected ${spokenProtocols.join(' or ')}` }],
  )
}

/** One line where two versions differ, else null. */
function versionNote(coordinator: string, own = VERSION): string | null {
  return coordinator === own ? null : `version  the coordinator is version ${coordinator}, this is version ${own}`
}

/** Answer of `GET /health`. Coordinators of version 0.1.0 do not say which protocols they speak. */
const healthSchema = z.object({
  status: z.literal('ok'),
  version: z.string().describe('of the software'),
  protocols: z.array(z.int()).optional().describe('of agents, that it speaks'),
})

export {
  checkProtocol,
  compatibilityFields,
  healthSchema,
  type KnownKinds,
  knownKinds,
  neededKinds,
  neededVersion,
  PROTOCOL,
  spokenProtocols,
  taskKinds,
  trainingVersion,
  understands,
  unknownKind,
  versionNote,
}
