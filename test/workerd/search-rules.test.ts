import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { searchMigrations } from '../../coordinator/objects/migrations/search.ts'
import { createSqlSearchStore } from '../../coordinator/objects/sql-search-store.ts'
import type { SearchStore } from '../../rules/search/index.ts'
import { searchCase } from '../fixtures/leased-cases.ts'
import { describeLeasedWork } from '../fixtures/leased-work.ts'
import { describeSearchRules } from '../fixtures/search-rules.ts'

const TABLES = ['search', 'state', 'outstanding', 'agents', 'log', 'strategy_rows', 'trial_files', 'chunks']

type Stores = { create(): SearchStore; reopen(store: SearchStore): SearchStore }

/** Stores in one real object, one after the other. */
async function withStores(body: (stores: Stores) => void): Promise<void> {
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
}

describeSearchRules('SQL store', withStores)
describeLeasedWork('tasks of a search, in SQL', (body) => withStores(({ create, reopen }) => body(() => searchCase(create(), reopen))))
