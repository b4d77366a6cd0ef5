/* A PKCS#11 library in front of another one: while a file is there, whatever it shall decrypt is a general error. */

#include <dlfcn.h>
#include <unistd.h>

/* PKCS#11 2.40, pkcs11f.h: the functions in their order, behind the version. */
enum { FUNCTIONS = 68, GET_FUNCTION_LIST = 3, DECRYPT = 34 };
enum { GENERAL_ERROR = 5 };

typedef void (*function)(void);
typedef unsigned long (*decrypt)(unsigned long, unsigned char *, unsigned long, unsigned char *, unsigned long *);
typedef struct {
  unsigned char version[2];
  function of[FUNCTIONS];
} list;

static list ours;
static decrypt behind;

static unsigned long broken_decrypt(unsigned long session, unsigned char *sealed, unsigned long length,
                                    unsigned char *plain, unsigned long *plain_length) {
  unsigned long answer = behind(session, sealed, length, plain, plain_length);
  /* It was asked all the same, so that the operation is over. Whoever asks for the length alone is told. */
  return plain && access(BROKEN, F_OK) == 0 ? GENERAL_ERROR : answer;
}

unsigned long C_GetFunctionList(list **given) {
  void *library = dlopen(BEHIND, RTLD_NOW | RTLD_LOCAL);
  unsigned long (*get)(list **) = library ? (unsigned long (*)(list **))dlsym(library, "C_GetFunctionList") : 0;
  list *theirs = 0;
  if (!get || get(&theirs)) return GENERAL_ERROR;
  ours = *theirs;
  behind = (decrypt)ours.of[DECRYPT];
  ours.of[DECRYPT] = (function)broken_decrypt;
  ours.of[GET_FUNCTION_LIST] = (function)C_GetFunctionList;
  *given = &ours;
  return 0;
}
