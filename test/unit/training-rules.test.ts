import { createMemoryTrainingStore } from '../../rules/training/memory-store.ts'
import { trainingCase } from '../fixtures/leased-cases.ts'
import { describeLeasedWork } from '../fixtures/leased-work.ts'
import { describeTrainingRules } from '../fixtures/training-rules.ts'

describeTrainingRules('store in memory', async (body) => body({ create: createMemoryTrainingStore, reopen: (store) => store }))
describeLeasedWork('a training, in memory', async (body) => body(() => trainingCase(createMemoryTrainingStore(), (store) => store)))
