/* How fast one key of a token signs, asked from C: p11rate MODULE TOKEN PIN_FILE SECONDS
 * Prints signatures per second of raw ECDSA over 32 bytes with the token's first private key. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long CK_ULONG;
typedef CK_ULONG CK_RV;
typedef struct { CK_ULONG type; void *value; CK_ULONG length; } Attribute;
typedef struct { CK_ULONG mechanism; void *parameter; CK_ULONG length; } Mechanism;
typedef struct { unsigned char major, minor; } Version;
typedef void (*Function)(void);
typedef struct { Version version; Function function[68]; } FunctionList;

enum { INITIALIZE = 0, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18,
       FIND_INIT = 26, FIND = 27, FIND_FINAL = 28, SIGN_INIT = 42, SIGN = 43 };

static FunctionList *list;
#define CALL(index, ...) ((CK_RV (*)())list->function[index])(__VA_ARGS__)
#define MUST(what, expression) \
    do { CK_RV rv = (expression); if (rv) { fprintf(stderr, "%s: 0x%lx\n", what, rv); exit(1); } } while (0)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static CK_ULONG find_slot(const char *token) {
    CK_ULONG slots[64], count = 64;
    MUST("slots", CALL(GET_SLOT_LIST, (unsigned char)1, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        unsigned char info[512];
        MUST("token info", CALL(GET_TOKEN_INFO, slots[i], info));
        if (!strncmp((char *)info, token, strlen(token)) && info[strlen(token)] == ' ') return slots[i];
    }
    fprintf(stderr, "no token %s\n", token);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "p11rate MODULE TOKEN PIN_FILE SECONDS\n"); return 2; }
    void *module = dlopen(argv[1], RTLD_NOW);
    if (!module) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    CK_RV (*get)(FunctionList **) = (CK_RV (*)(FunctionList **))dlsym(module, "C_GetFunctionList");
    MUST("function list", get(&list));
    MUST("initialize", CALL(INITIALIZE, NULL));
    char pin[256] = {0};
    FILE *file = fopen(argv[3], "r");
    if (!file || !fgets(pin, sizeof pin, file)) { perror(argv[3]); return 1; }
    pin[strcspn(pin, "\n")] = 0;
    CK_ULONG session, key, found = 0, class = 3 /* CKO_PRIVATE_KEY */;
    MUST("session", CALL(OPEN_SESSION, find_slot(argv[2]), 4UL /* serial */, NULL, NULL, &session));
    MUST("login", CALL(LOGIN, session, 1UL /* CKU_USER */, pin, strlen(pin)));
    Attribute template = {0 /* CKA_CLASS */, &class, sizeof class};
    MUST("find", CALL(FIND_INIT, session, &template, 1UL));
    MUST("find", CALL(FIND, session, &key, 1UL, &found));
    MUST("find", CALL(FIND_FINAL, session));
    if (!found) { fprintf(stderr, "no private key\n"); return 1; }
    Mechanism ecdsa = {0x1041 /* CKM_ECDSA */, NULL, 0};
    unsigned char digest[32] = {1}, signature[256];
    double seconds = atof(argv[4]), start = now(), end;
    CK_ULONG count = 0;
    do {
        CK_ULONG length = sizeof signature;
        MUST("sign", CALL(SIGN_INIT, session, &ecdsa, key));
        MUST("sign", CALL(SIGN, session, digest, (CK_ULONG)sizeof digest, signature, &length));
        count++;
    } while ((end = now()) - start < seconds);
    printf("%.0f\n", (double)count / (end - start));
    return 0;
}
