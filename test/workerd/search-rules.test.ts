import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { searchMigrations } from '../../coordinator/objects/migrations/search.ts'
import { createSqlSearchStore } from '../../coordinator/objects/sql-search-store.ts'
import { describeSearchRules } from '../fixtures/search-rules.ts'

const TABLES = ['search', 'state', 'outstanding', 'agents', 'log']

describeSearchRules('SQL store', async (body) => {
  const object = env.SEARCH.get(env.SEARCH.newUniqueId())
  await runInDurableObject(object, (_, { storage }) => {
    body({
      create() {
        for (const table of TABLES) storage.sql.exec(`DROP TABLE IF EXISTS ${table}`)
        for (const { up } of searchMigrations) up(storage.sql)
        return createSqlSearchStore(storage)
      },
      reopen: () => createSqlSearchStore(storage),
    })
  })
})
