// The composition root of the Worker: routes on one side, Durable Objects and KV on the other.

import { unwrap } from '../protocol/index.ts'
import { directoryNames } from './objects/directory-object.ts'
import type { Environment } from './objects/environment.ts'
import { createLatencyTables, type VersionsPort } from './objects/latency-tables.ts'
import { shardName } from './objects/shards.ts'
import { openSocket } from './objects/sockets.ts'
import { createApp } from './routes/app.ts'
import { createSigner, type Signer } from './routes/signatures.ts'
import { parseRequestLog } from './routes/request-log-setting.ts'
import type { AuditPort, DirectoryPort, Ports, ProfilePort, SearchPort, ShardPort, TrainingPort } from './routes/ports.ts'

/** Kept for as long as the isolate lives: the key never changes. */
let signer: Signer | null = null

async function findSigner(directory: DirectoryPort): Promise<Signer> {
  signer ??= await createSigner(unwrap(await directory.signingKey()))
  return signer
}

function connect(environment: Environment): Ports {
  const directory = (list: 'searches' | 'profiles' | 'trainings') =>
    environment.DIRECTORY.getByName(directoryNames[list]) as unknown as DirectoryPort
  return {
    adminTokens: [environment.ADMIN_TOKEN, environment.ADMIN_TOKEN_PREVIOUS ?? ''],
    signer: () => findSigner(directory('searches')),
    refusals: async (key) => (await environment.REFUSALS?.limit({ key }))?.success ?? true,
    // A stub has its object's methods, made asynchronous; its own type says so in more depth than compilers like.
    search: (searchId) => environment.SEARCH.getByName(searchId) as unknown as SearchPort,
    shard: (searchId, shard) => environment.WEIGHTS.getByName(shardName(searchId, shard)) as unknown as ShardPort,
    profile: (profileId) => environment.PROFILE.getByName(profileId) as unknown as ProfilePort,
    searchSocket: (searchId) => (opener) => openSocket(environment.SEARCH.getByName(searchId), opener),
    trainingSocket: (trainingId) => (opener) => openSocket(environment.TRAINING.getByName(trainingId), opener),
    searches: directory('searches'),
    profiles: directory('profiles'),
    training: (trainingId) => environment.TRAINING.getByName(trainingId) as unknown as TrainingPort,
    trainings: directory('trainings'),
    audit: environment.DIRECTORY.getByName(directoryNames.audit) as unknown as AuditPort,
    requestLog: parseRequestLog(environment.LOG_REQUESTS),
    tables: createLatencyTables(
      environment.LATENCY_TABLES,
      () => environment.DIRECTORY.getByName(directoryNames.tables) as unknown as VersionsPort,
    ),
  }
}

const app = createApp(connect)

export default { fetch: app.fetch } satisfies ExportedHandler<Environment>
export { DirectoryObject } from './objects/directory-object.ts'
export { ProfileObject } from './objects/profile-object.ts'
export { SearchObject } from './objects/search-object.ts'
export { TrainingObject } from './objects/training-object.ts'
export { WeightsObject } from './objects/weights-object.ts'
