import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { trainingMigrations } from '../../coordinator/objects/migrations/training.ts'
import { createSqlTrainingStore } from '../../coordinator/objects/sql-training-store.ts'
import { describeTrainingRules } from '../fixtures/training-rules.ts'

const TABLES = ['training', 'state', 'reports', 'chunks']

describeTrainingRules('SQL store', async (body) => {
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
})
