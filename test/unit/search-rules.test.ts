import { createMemoryStore } from '../../rules/search/memory-store.ts'
import { searchCase } from '../fixtures/leased-cases.ts'
import { describeLeasedWork } from '../fixtures/leased-work.ts'
import { describeSearchRules } from '../fixtures/search-rules.ts'

describeSearchRules('store in memory', async (body) => body({ create: createMemoryStore, reopen: (store) => store }))
describeLeasedWork('tasks of a search, in memory', async (body) => body(() => searchCase(createMemoryStore(), (store) => store)))
