// Prisma with its adapter for `pg`. `prisma generate` has written the client from ../../schema.prisma.
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from 'prisma-client';
import { nextArticle, nextDocument, WAIT } from './data.mjs';

class Routes {
  constructor(prisma) {
    this.prisma = prisma;
  }
  constant() {
    return this.prisma.$queryRaw`SELECT 1 AS one`;
  }
  row() {
    return this.prisma.article.findUnique({ where: { id: nextArticle() } });
  }
  relation() {
    return this.prisma.article.findUnique({ where: { id: nextArticle() }, include: { author: true } });
  }
  relations() {
    return this.prisma.article.findUnique({
      where: { id: nextArticle() },
      include: { author: true, category: true },
    });
  }
  insert() {
    return this.prisma.$transaction((tx) => tx.event.create({ data: { name: 'created' } }));
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.prisma.$transaction(async (tx) => {
      await tx.$queryRaw`SELECT set_config('app.tenant', ${tenant}, true)`;
      return tx.document.findUnique({ where: { id } });
    });
  }
  blocked() {
    // The answer has the type void, which Prisma does not read.
    return this.prisma.$executeRawUnsafe(WAIT);
  }
}

export default ({ url, poolSize }) => ({
  providers: [
    {
      provide: PrismaClient,
      async useFactory() {
        const prisma = new PrismaClient({
          adapter: new PrismaPg({ connectionString: url, max: poolSize, idleTimeoutMillis: 0 }),
        });
        await prisma.$connect();
        return prisma;
      },
    },
  ],
  Routes,
  inject: [PrismaClient],
});
