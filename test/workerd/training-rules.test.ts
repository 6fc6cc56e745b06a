import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { trainingMigrations } from '../../coordinator/objects/migrations/training.ts'
import { createSqlTrainingStore } from '../../coordinator/objects/sql-training-store.ts'
import type { TrainingStore } from '../../rules/training/index.ts'
import { trainingCase } from '../fixtures/leased-cases.ts'
import { describeLeasedWork } from '../fixtures/leased-work.ts'
import { describeTrainingRules } from '../fixtures/training-rules.ts'

const TABLES = ['training', 'state', 'reports', 'chunks']

type Stores = { create(): TrainingStore; reopen(store: TrainingStore): TrainingStore }

/** Stores in one real object, one after the other. */
async function withStores(body: (stores: Stores) => void): Promise<void> {
  const object = env.TRAINING.get(env.TRAINING.newUniqueId())
  await runInDurableObject(object, (_, { storage }) => {
    body({
      create() {
        for (const table of TABLES) storage.sql.exec(`DROP TABLE IF EXISTS ${table}`)
        for (const { up } of trainingMigrations) up(storage.sql)
        return createSqlTrainingStore(storage)
      },
      reopen: () => createSqlTrainingStore(storage),
    })
  })
}

describeTrainingRules('SQL store', withStores)
describeLeasedWork('a training, in SQL', (body) => withStores(({ create, reopen }) => body(() => trainingCase(create(), reopen))))
